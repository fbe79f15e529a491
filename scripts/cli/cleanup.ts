import { z } from "zod";
import { connect, type Project } from "../project.ts";
import { refreshStatistics } from "../stats/refresh.ts";
import {
  type Command,
  commandLine,
  COMMON_OPTIONS,
  parseOptions,
} from "./command.ts";

const Deleted = z.tuple([
  z.object({ cleanup_expired_idempotency_keys: z.coerce.number().int() }),
]);

/** Deletes until a call finds nothing; each call stops after 5 seconds. */
async function cleanUp(project: Project): Promise<number> {
  let total = 0;
  while (true) {
    const [row] = Deleted.parse(
      await project.call("cleanup_expired_idempotency_keys"),
    );
    const deleted = row.cleanup_expired_idempotency_keys;
    if (deleted === 0) return total;
    total += deleted;
  }
}

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
  await refreshStatistics(project);
  console.log(`${keys(await cleanUp(project))} deleted`);
}

/** Deletes expired keys, for schedulers other than pg_cron. */
export const cleanup: Command = {
  summary: "delete expired keys, for schedulers other than pg_cron",
  usage: () =>
    `Usage: ${commandLine("cleanup")} [--database-url URL]

Deletes expired keys until none is left, never one that is in use; counts them
for the statistics of operators before. Asks nobody: it is made for schedulers.
${COMMON_OPTIONS}`,
  run,
};
