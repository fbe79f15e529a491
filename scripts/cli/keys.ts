import process from "node:process";
import { connect } from "../project.ts";
import { parseCommand } from "../keys/command.ts";
import {
  type Resolution,
  resolve,
  type Resolved,
  type StuckKey,
  stuckKeys,
} from "../keys/operator.ts";
import { printTable, shown, shownJson, toSecond } from "../table.ts";
import {
  type Command,
  commandLine,
  COMMON_OPTIONS,
  isMeant,
} from "./command.ts";

function printKeys(keys: readonly StuckKey[]): void {
  if (keys.length === 0) return console.log("no stuck keys");
  printTable(
    [
      "user",
      "scope",
      "key",
      "attempt",
      "began",
      "lapsed",
      "gone",
      "steps done",
      "crashed before",
    ],
    keys.map((key) => [
      key.owner || "(project)",
      key.scope,
      key.idempotency_key,
      key.attempt,
      toSecond(key.claimed_at),
      toSecond(key.lease_expires_at),
      toSecond(key.expires_at),
      Object.keys(key.steps ?? {}).join(", "),
      crashesOf(key),
    ]),
  );
}

/** How far each attempt before this one got: a loop makes no progress. */
function crashesOf({ crashed_attempts }: StuckKey): string {
  return (crashed_attempts ?? [])
    .map(({ attempt, steps }) =>
      `${attempt} (${steps} ${steps === 1 ? "step" : "steps"})`
    )
    .join(", ");
}

/** What is to be told of a resolution, and whether it holds. */
function describe(
  { key, scope, userId, body, as }: Resolution,
  { outcome, status_code }: Resolved,
): { done: boolean; text: string } {
  const name = `"${key}" in ${scope}`;
  switch (outcome) {
    case "completed":
      return {
        done: true,
        text: `${name} is completed: ` +
          (body === null
            ? "retries get 409 RESPONSE_NOT_STORED, because no --body was given"
            : "retries get this answer"),
      };
    case "failed":
      return {
        done: as === "failed",
        text: `${name} has failed${
          as === "failed" ? "" : " already"
        }: the next retry runs`,
      };
    case "replay":
      return {
        done: false,
        text: `${name} was completed already, with status ${status_code}`,
      };
    case "gone":
      return {
        done: false,
        text: `there is no key ${name} of ${
          userId === null
            ? "the project itself; name the user it belongs to with --user"
            : `user ${userId}`
        }`,
      };
  }
}

async function run(args: readonly string[]): Promise<void> {
  const command = parseCommand(args);
  await using project = connect(command.databaseUrl, command.project);
  if (command.name === "list") {
    const keys = await stuckKeys(project, command.limit);
    if (command.json) console.log(shownJson(keys, 2));
    else printKeys(keys);
    if (keys.length === command.limit) {
      // What a program reads stays JSON.
      const tell = command.json ? console.error : console.log;
      tell(`the first ${command.limit}; see --limit`);
    }
    return;
  }
  const { resolution } = command;
  const { key, scope, as } = resolution;
  const said = shown(`say that "${key}" in ${scope} ended as ${as}`);
  if (command.isDryRun) return console.log(`would ${said}`);
  if (process.stdin.isTTY) console.log(`will ${said}`);
  if (!await isMeant(command)) return;
  const { done, text } = describe(
    resolution,
    await resolve(project, resolution),
  );
  if (!done) throw new Error(text);
  console.log(shown(text));
}

/** The keys whose attempt was interrupted, and how each ended. */
export const keys: Command = {
  summary: "list the keys that wait for an operator, and say how each ended",
  usage: () =>
    `Usage:
  ${commandLine("keys list")} [--limit N] [--json]
  ${commandLine("keys resolve")} KEY --scope SCOPE [--user ID] --as completed
      --status 200 [--body TEXT] [--header NAME:VALUE …] [--note TEXT]
  ${
      commandLine("keys resolve")
    } KEY --scope SCOPE [--user ID] --as failed [--note TEXT]

See docs/operating.md.
${COMMON_OPTIONS}`,
  run,
};
