import assert from "node:assert/strict";
import { executeMigration } from "supabase-idempotency/migrate";

const [databaseUrl] = process.argv.slice(2);

const backfill = () =>
  executeMigration(
    "backfill-fees",
    ({ query }) => query("update public.orders set fee = $1", [1]),
    {
      databaseUrl,
      backupCollections: ["orders"],
      verifyFn: async ({ query }) => {
        const missing = await query(
          "select from public.orders where fee is null",
        );
        return missing.length === 0;
      },
    },
  );

const first = await backfill();
assert.deepEqual([first.success, first.backups.length], [true, 1]);
const again = await backfill();
assert.deepEqual([again.success, again.skipped], [true, true]);
