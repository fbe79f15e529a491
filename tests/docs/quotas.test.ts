import { PGlite } from "@electric-sql/pglite";
import { assertEquals } from "@std/assert";
import { keepingExitCode } from "../../scripts/stack/pglite_exit_code.ts";
import { codeBlocks } from "../support/documented.ts";

Deno.test("the secret key writes quotas where a project grants nothing by itself", () =>
  keepingExitCode(async () => {
    await using db = await PGlite.create();
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
        ('${organisation}', date_trunc('month', now() at time zone 'utc'), 1)`);
    const answers = [];
    for (const request of ["a", "a", "b"]) {
      const { rows } = await db.query(
        "select public.use_quota($1, $2) as may",
        [ada, request],
      );
      answers.push((rows as { may: boolean }[])[0]!.may);
    }
    assertEquals(answers, [true, true, false]);
  }));
