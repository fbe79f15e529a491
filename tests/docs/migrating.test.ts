import { assertEquals } from "@std/assert";
import { archive, restore } from "../../shared/archive.ts";
import { codeBlocks } from "../support/documented.ts";
import { signUp, withStack } from "../support/stack.ts";

const stack = withStack();

Deno.test("the migration of the guide makes a table of before one of after", async () => {
  const ada = await signUp(stack());
  await stack().sql(
    `create table public.invoices (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null default auth.uid() references auth.users (id),
      total integer not null
    )`,
  );
  try {
    await stack().sql("alter table public.invoices enable row level security");
    await stack().sql(
      `create policy invoices_own on public.invoices to authenticated
      using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id)`,
    );
    await stack().sql(
      "grant select, insert, update, delete on public.invoices to authenticated",
    );
    const [migration] = await codeBlocks("migrating.md", "sql");
    for (const statement of migration!.split(/;\n/)) {
      if (statement.trim() !== "") await stack().sql(statement);
    }
    const table = "invoices" as "quotations";
    const create = () =>
      ada.client.from(table).upsert(
        { total: 5, request_id: "idem_1" } as never,
        { onConflict: "request_id" },
      ).select("id").single().throwOnError();
    const { data: first } = await create();
    assertEquals((await create()).data, first);
    assertEquals(await archive(ada.client, table, first.id), true);
    const { data } = await ada.client.from(table).select("id").throwOnError();
    assertEquals(data, []);
    assertEquals(await restore(ada.client, table, first.id), true);
    assertEquals((await create()).data, first);
  } finally {
    await stack().sql("drop table public.invoices");
  }
});
