import { assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  migratedCluster,
  type SupabaseCluster,
} from "../../scripts/cluster/supabase_cluster.ts";
import { httpContract } from "./http_contract.ts";
import { ledgerCases, type LedgerName } from "./ledgers.ts";
import { runtimes } from "./runtimes.ts";

const CASES = ledgerCases("memory", () => undefined).map(({ name }) => name);

let cluster: SupabaseCluster;
let environment: Record<string, string>;

Deno.test.beforeAll(async () => {
  cluster = await migratedCluster({ version: 17 });
  const users = [crypto.randomUUID(), crypto.randomUUID()];
  const sql = postgres(cluster.url, { max: 1 });
  for (const id of users) await sql`insert into auth.users (id) values (${id})`;
  await sql.end();
  environment = {
    DATABASE_URL: cluster.url,
    USERS: users.join(),
    IDEMPOTENCY_ENFORCEMENT: "strict=required",
  };
});
Deno.test.afterAll(async () => await cluster[Symbol.asyncDispose]());

for (const { name: runtime, start } of runtimes) {
  Deno.test(`the middleware and the ledgers keep their promises on ${runtime}`, async (t) => {
    await using server = await start(environment);
    const step = (name: string, fn: () => Promise<void>) =>
      t.step({
        name: `${runtime}: ${name}`,
        fn,
        // Most of a case is waiting: they wait together.
        sanitizeOps: false,
        sanitizeResources: false,
        sanitizeExit: false,
      });
    const ledgerStep = (ledger: LedgerName, name: string) =>
      step(`${ledger} ledger: ${name}`, async () => {
        const params = new URLSearchParams({ ledger, case: name });
        const response = await fetch(`${server.url}/case?${params}`);
        assertEquals(await response.text(), "ok");
      });
    // One after the other: some make all that is in the database older.
    const onPostgres = async () => {
      for (const name of CASES) await ledgerStep("postgres", name);
    };
    await Promise.all([
      onPostgres(),
      ...httpContract.map(({ name, run }) => step(name, () => run(server.url))),
      ...CASES.map((name) => ledgerStep("memory", name)),
    ]);
  });
}
