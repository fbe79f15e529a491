import { assert } from "@std/assert";
import postgres from "postgres";
import { codeBlocks } from "../support/documented.ts";
import { hasExtension } from "../../scripts/cluster/postgres_extensions.ts";
import { migratedCluster } from "../../scripts/cluster/supabase_cluster.ts";

Deno.test({
  name: "every query of docs/operating.md runs",
  ignore: !hasExtension("pg_cron"),
  async fn() {
    const queries = await codeBlocks("operating.md", "sql");
    assert(queries.length > 5);
    await using cluster = await migratedCluster();
    const sql = postgres(cluster.url, { max: 1 });
    try {
      for (const query of queries) await sql.unsafe(query).simple();
    } finally {
      await sql.end();
    }
  },
});
