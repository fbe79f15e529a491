import { assertEquals } from "@std/assert";
import { archive, restore } from "../../shared/archive.ts";
import { codeBlocks, importBlock } from "../support/documented.ts";
import { unique } from "../support/probe.ts";
import { behindGateway } from "../support/serve.ts";
import { signUp, withStack } from "../support/stack.ts";

const stack = withStack();

/** Runs a test on the guide's table, after the guide's migration. */
async function withInvoices(test: () => Promise<void>): Promise<void> {
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
    await test();
  } finally {
    await stack().sql("drop table public.invoices");
  }
}

Deno.test("the migration of the guide makes a table of before one of after", () =>
  withInvoices(async () => {
    const ada = await signUp(stack());
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
  }));

Deno.test("the route of the guide gives the first row again where its key is gone", () =>
  withInvoices(async () => {
    const ada = await signUp(stack());
    const [, after] = await codeBlocks("migrating.md", "ts");
    const invoices = behindGateway(
      stack(),
      (await importBlock(after!)).default.fetch,
    );
    const key = unique("invoice");
    const ask = () =>
      invoices(
        new Request("http://x/invoices", {
          method: "POST",
          headers: {
            ...ada.headers,
            "Content-Type": "application/json",
            "Idempotency-Key": key,
          },
          body: JSON.stringify({ total: 5 }),
        }),
      );
    const create = async () => {
      let response = await ask();
      // Like any client: a busy machine has no time to answer the ledger.
      for (let tries = 1; response.status === 503 && tries < 10; tries++) {
        await response.body?.cancel();
        const seconds = Number(response.headers.get("retry-after"));
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        response = await ask();
      }
      return {
        status: response.status,
        replayed: response.headers.has("x-idempotency-replay"),
        body: await response.json(),
      };
    };
    const first = await create();
    assertEquals([first.status, first.replayed], [201, false]);
    await stack().sql(
      `delete from public.idempotency_keys where idempotency_key = '${key}'`,
    );
    assertEquals(await create(), first);
  }));
