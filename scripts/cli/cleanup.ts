/**
 * Deletes expired keys until none is left, for schedulers other than pg_cron:
 * `deno task cleanup [--database-url URL]`. Counts them for the statistics of
 * operators before.
 *
 * Without a database URL it goes through the API, with `SUPABASE_URL` and
 * `SUPABASE_SECRET_KEY` from the environment.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { z } from "zod";
import {
  connect,
  explain,
  type Project,
  UnknownProjectError,
} from "./project.ts";
import { refreshStatistics } from "./stats/refresh.ts";

const USAGE = "Usage: deno task cleanup [--database-url URL]";

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

try {
  const { values } = parseArgs({
    args: Deno.args,
    options: { "database-url": { type: "string" } },
  });
  await using project = connect(values["database-url"]);
  await refreshStatistics(project);
  const deleted = await cleanUp(project);
  console.log(`${deleted} expired ${deleted === 1 ? "key" : "keys"} deleted`);
} catch (error) {
  console.error(
    error instanceof UnknownProjectError
      ? `clean up over the API: ${error.message}. ${USAGE}`
      : `cleanup: ${explain(error)}`,
  );
  Deno.exit(1);
}
