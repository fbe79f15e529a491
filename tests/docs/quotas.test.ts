import { PGlite } from "@electric-sql/pglite";
import { assertEquals } from "@std/assert";
import { keepingExitCode } from "../../scripts/stack/pglite_exit_code.ts";
import { codeBlocks } from "../support/documented.ts";

/** A project by the guide whose only organisation may do so much this month. */
async function quotaOf(allowed: number) {
  const db = await PGlite.create();
  const [ada, organisation] = [crypto.randomUUID(), crypto.randomUUID()];
  await db.exec(`
    create role anon; create role authenticated; create role service_role bypassrls;
    create schema auth; create table auth.users (id uuid primary key);
    insert into auth.users values ('${ada}')`);
  for (const sql of await codeBlocks("guides/quotas.md", "sql")) {
    await db.exec(sql);
  }
  await db.exec(`set role service_role;
    insert into public.members values ('${ada}', '${organisation}');
    insert into public.quotas (organisation_id, month, allowed) values
      ('${organisation}', date_trunc('month', now() at time zone 'utc'), ${allowed})`);
  return {
    async use(request: string): Promise<boolean> {
      const { rows } = await db.query<{ may: boolean }>(
        "select public.use_quota($1, $2) as may",
        [ada, request],
      );
      return rows[0]!.may;
    },
    /** Lets the keys of all requests expire. */
    async expireKeys(): Promise<void> {
      await db.exec(`reset role;
        update public.quota_uses set used_at = used_at - interval '1 day';
        set role service_role`);
    },
    [Symbol.asyncDispose]: () => db.close(),
  };
}

Deno.test("the secret key writes quotas where a project grants nothing by itself", () =>
  keepingExitCode(async () => {
    await using quota = await quotaOf(1);
    const answers = [];
    for (const request of ["a", "a", "b"]) {
      answers.push(await quota.use(request));
    }
    assertEquals(answers, [true, true, false]);
  }));

Deno.test("a request that runs again under a key that had expired counts again", () =>
  keepingExitCode(async () => {
    await using quota = await quotaOf(2);
    const answers = [];
    for (let day = 0; day < 3; day++) {
      answers.push(await quota.use("a"));
      await quota.expireKeys();
    }
    assertEquals(answers, [true, true, false]);
  }));
