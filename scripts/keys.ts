/**
 * For operators: `deno task keys list` shows the keys whose attempt was
 * interrupted, `deno task keys resolve` says how it ended. See
 * docs/operating.md.
 *
 * @module
 */
import { parseCommand, USAGE, UsageError } from "./keys/command.ts";
import {
  type Operator,
  operatorOverApi,
  operatorOverDatabase,
  type Resolution,
  type Resolved,
  type StuckKey,
} from "./keys/operator.ts";
import { printTable } from "./table.ts";

// The same, whichever way the database was reached.
const HINTS: Record<string, string> = {
  "42501": "use the project's secret key, or the database's owner",
  "42883":
    "the ledger is not there, or older than this command: run supabase db push",
  "PGRST202":
    "the ledger is not there, or older than this command: run supabase db push",
  "IDK01": "wait until its lease has lapsed: it may still answer for itself",
};

function connect(databaseUrl: string | undefined): Operator {
  if (databaseUrl !== undefined) return operatorOverDatabase(databaseUrl);
  const url = Deno.env.get("SUPABASE_URL");
  const secretKey = Deno.env.get("SUPABASE_SECRET_KEY");
  if (url && secretKey) return operatorOverApi(url, secretKey);
  const missing = url ? "SUPABASE_SECRET_KEY" : "SUPABASE_URL";
  throw new UsageError(`${missing} is not set`);
}

function printKeys(keys: readonly StuckKey[], limit: number): void {
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
    ],
    keys.map((key) => [
      key.user_id ?? "(project)",
      key.scope,
      key.idempotency_key,
      key.attempt,
      toSecond(key.claimed_at),
      toSecond(key.lease_expires_at),
      toSecond(key.expires_at),
      Object.keys(key.steps ?? {}).join(", "),
    ]),
  );
  if (keys.length === limit) console.log(`the first ${limit}; see --limit`);
}

function toSecond(time: Date): string {
  return time.toISOString().replace(/\.\d+/, "");
}

/** What is to be told of a resolution, and whether it holds. */
function describe(
  { key, scope, userId, body }: Resolution,
  { outcome, attempt, status_code }: Resolved,
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
      return { done: true, text: `${name} has failed: the next retry runs` };
    case "replay":
      return {
        done: false,
        text: `${name} was completed already, with status ${status_code}`,
      };
    case "stale":
      return {
        done: false,
        text: attempt === null
          ? `there is no key ${name} of ${
            userId === null
              ? "the project itself; name the user it belongs to with --user"
              : `user ${userId}`
          }`
          : `${name} has failed already: the next retry runs`,
      };
  }
}

async function main(args: readonly string[]): Promise<void> {
  const command = parseCommand(args);
  await using operator = connect(command.databaseUrl);
  if (command.name === "list") {
    const keys = await operator.stuckKeys(command.limit);
    if (command.json) console.log(JSON.stringify(keys, null, 2));
    else printKeys(keys, command.limit);
    return;
  }
  const { resolution } = command;
  const { done, text } = describe(
    resolution,
    await operator.resolve(resolution),
  );
  if (!done) throw new Error(text);
  console.log(text);
}

try {
  await main(Deno.args);
} catch (error) {
  const { message, code = "" } = error as Error & { code?: string };
  const hint = HINTS[code];
  console.error(
    hint === undefined ? `keys: ${message}` : `keys: ${message} (${hint})`,
  );
  if (error instanceof UsageError) console.error(USAGE);
  Deno.exit(1);
}
