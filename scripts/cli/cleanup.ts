import { z } from "zod";
import { cleanUp } from "../../functions/cleanup-idempotency/clean_up.ts";
import { connect } from "../project.ts";
import {
  type Command,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
} from "./command.ts";

const Expired = z.tuple([
  z.object({ expired_count: z.coerce.number(), expired_is_more: z.boolean() }),
]);

function keys(count: number): string {
  return `${count} expired ${count === 1 ? "key" : "keys"}`;
}

async function run(args: readonly string[]): Promise<void> {
  const { values } = parseOptions(args, {});
  await using project = connect(values["database-url"], values.project);
  if (values["dry-run"]) {
    const [upkeep] = Expired.parse(await project.call("idempotency_upkeep"));
    const more = upkeep.expired_is_more ? "more than " : "";
    return console.log(`would delete ${more}${keys(upkeep.expired_count)}`);
  }
  const { deleted } = await cleanUp(project);
  console.log(`${keys(deleted)} deleted`);
}

/** Deletes expired keys, for schedulers other than pg_cron. */
export const cleanup: Command = {
  summary: "delete expired keys, for schedulers other than pg_cron",
  usage: () =>
    `Usage: ${commandLine("cleanup")} [--database-url URL]

Deletes expired keys until none is left, never one that is in use, after counting
them for the operators' statistics. Asks nobody: it is made for schedulers.
${COMMON_OPTIONS}`,
  run,
};
