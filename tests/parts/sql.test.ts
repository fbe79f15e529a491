import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeGeneratedSql } from "../../scripts/check/generated_sql.ts";
import { SUPABASE_DIR } from "../../scripts/stack/settings.ts";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { getNextInvoiceNumber } from "../../shared/sequences.ts";

/** Runs `use` in a project that has the SQL of one part and nothing else. */
async function withPart(
  part: string,
  use: (stack: Stack) => Promise<void>,
): Promise<void> {
  const supabaseDir = await Deno.makeTempDir({ prefix: "part-" });
  try {
    await Deno.writeTextFile(join(supabaseDir, "config.toml"), "");
    await mkdir(join(supabaseDir, "migrations"));
    await cp(
      join(SUPABASE_DIR, "schemas", part),
      join(supabaseDir, "schemas", part),
      { recursive: true },
    );
    await writeGeneratedSql(supabaseDir);
    const stack = await startStack({ port: 0, memory: true, supabaseDir });
    try {
      await use(stack);
    } finally {
      await stack.close();
    }
  } finally {
    await Deno.remove(supabaseDir, { recursive: true });
  }
}

Deno.test("sequences number documents of any business where there is nothing else", () =>
  withPart("sequences", async ({ apiUrl, secretKey }) => {
    const client = createClient(apiUrl, secretKey);
    const [one, other] = [crypto.randomUUID(), crypto.randomUUID()];
    assertMatch(await getNextInvoiceNumber(client, one), /^INV-\d{6}-0001$/);
    assertMatch(await getNextInvoiceNumber(client, one), /^INV-\d{6}-0002$/);
    assertMatch(await getNextInvoiceNumber(client, other), /^INV-\d{6}-0001$/);
  }));

Deno.test("sequences number by the calendar of a project that says which", () =>
  withPart("sequences", async ({ apiUrl, secretKey, sql }) => {
    const [local] = await sql<{ month: string }>(
      "select to_char(now() at time zone 'Etc/GMT+12', 'YYYYMM') as month",
    );
    await sql(
      `create or replace function public.document_time_zone(p_business_id uuid) returns text
       language sql stable set search_path = ''
       as $$ select 'Etc/GMT+12' where p_business_id = '00000000-0000-4000-8000-0000000000b1' $$`,
    );
    const client = createClient(apiUrl, secretKey);
    assertEquals(
      await getNextInvoiceNumber(
        client,
        "00000000-0000-4000-8000-0000000000b1",
      ),
      `INV-${local?.month}-0001`,
    );
    const error = await assertRejects(() =>
      getNextInvoiceNumber(client, "00000000-0000-4000-8000-0000000000b2")
    );
    assertEquals((error as { code?: string }).code, "P0002");
  }));

Deno.test("archive lets rows of any table be archived where there is nothing else", () =>
  withPart("archive", async ({ sql }) => {
    await sql("create table public.notes (id integer primary key)");
    await sql("insert into public.notes values (1)");
    await sql("select public.enable_soft_delete('public.notes')");
    await sql("update public.notes set archived_at = now()");
    assertEquals(
      await sql("select from public.notes where archived_at is null"),
      [],
    );
  }));
