import { assertEquals } from "@std/assert";
import { askForArchived } from "../../shared/archive.ts";
import { parseEnforcement } from "../../shared/idempotency/enforcement.ts";
import { call } from "../support/call.ts";
import { codeBlocks, importBlock } from "../support/documented.ts";
import { heard } from "../support/heard.ts";
import { become, DRAFT, newQuotation } from "../support/quotations.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

// docs/recipes/quotations.md, block by block.
const PAGE = "recipes/quotations.md";

const stack = withStack();
let ada: Actor & { userId: string };
let queries: string[];

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  queries = await codeBlocks(PAGE, "sql");
});

function queryWith(part: string): string {
  const [query, ...others] = queries.filter((text) => text.includes(part));
  assertEquals(others, []);
  return query!;
}

// The status of each call goes to stderr, a line each.
const KEEP_STATUSES = String.raw`
curl() { command curl -s -w '\n%{stderr}%{http_code}\n' "$@"; }
`;
const DELETE_IT = '\ndeleteForGood "$ID"';

/** As nobody could: past every rule. */
async function triggerless(statement: string, id: string): Promise<void> {
  await stack().sql("alter table public.quotations disable trigger user");
  await stack().sql(statement, [id]);
  await stack().sql("alter table public.quotations enable trigger user");
}

Deno.test("the recipe's query counts the writes of each day, and those with a key", async () => {
  const count = async () => {
    const [row] = await stack().sql<Record<string, number>>(
      queryWith("with_key"),
    );
    return [Number(row?.["writes"] ?? 0), Number(row?.["with_key"] ?? 0)];
  };
  const [writes, withKey] = await count();
  const { id } = await newQuotation(stack(), ada);
  await heard("warn", async () => {
    await call(stack(), ada, "quotations", { body: DRAFT });
    await call(stack(), ada, `quotations/${id}`, {
      method: "PATCH",
      body: { customerName: "Keyless" },
    });
  });
  await ada.client.from("quotations").update({ customer_name: "REST" })
    .eq("id", id).throwOnError();
  await become(stack(), ada, id, "sent");
  await call(stack(), ada, `quotations/${id}`, { method: "DELETE" });
  assertEquals(await count(), [writes! + 5, withKey! + 2]);
});

Deno.test("the recipe's checks find nothing, until something is wrong", async () => {
  const { id } = await newQuotation(stack(), ada);
  for (const part of ["of_lines", "h.to_status"]) {
    assertEquals(await stack().sql(queryWith(part)), []);
  }
  await triggerless(
    "update public.quotations set net_minor = net_minor + 1, status = 'sent' where id = $1",
    id,
  );
  for (const part of ["of_lines", "h.to_status"]) {
    const rows = await stack().sql<{ id: string }>(queryWith(part));
    assertEquals(rows.map((row) => row.id), [id], part);
  }
  await stack().sql("delete from public.quotations where id = $1", [id]);
});

Deno.test("the recipe's queries find what is overdue, and delete what was archived long ago", async () => {
  const overdue = await newQuotation(stack(), ada);
  await become(stack(), ada, overdue.id, "sent");
  await newQuotation(stack(), ada);
  await triggerless(
    "update public.quotations set valid_until = '2026-01-01' where id = $1",
    overdue.id,
  );
  const listed = await stack().sql<{ id: string }>(
    queryWith("order by valid_until"),
  );
  assertEquals(listed.map(({ id }) => id), [overdue.id]);

  const old = await newQuotation(stack(), ada);
  const fresh = await newQuotation(stack(), ada);
  for (const { id } of [old, fresh]) {
    await call(stack(), ada, `quotations/${id}`, { method: "DELETE" });
  }
  await triggerless(
    "update public.quotations set archived_at = now() - interval '13 months' where id = $1",
    old.id,
  );
  await stack().sql(queryWith("delete from quotations"));
  const { data } = await askForArchived(
    ada.client.from("quotations").select("id").in("id", [old.id, fresh.id]),
  ).throwOnError();
  assertEquals(data, [{ id: fresh.id }]);
});

Deno.test("the recipe's table has soft delete, and its list leaves archived rows out", async () => {
  const statements = queryWith("create table customers").split(/;\n/);
  try {
    for (const statement of statements) {
      if (statement.trim() !== "") await stack().sql(statement);
    }
    const block = (await codeBlocks(PAGE, "ts")).at(-1)!;
    const { list } = await importBlock(block);
    const customers = () => ada.client.from("customers" as "quotations");
    for (const name of ["Ada", "Babbage"]) {
      await customers().insert({ name } as never).throwOnError();
    }
    await customers().update({ archived_at: new Date().toISOString() })
      .eq("name" as "id", "Ada").throwOnError();
    const names = async (query: string) => {
      const request = new Request(`http://x/customers${query}`);
      const response: Response = await list(request, ada.client);
      const rows: { name: string }[] = await response.json();
      return [
        rows.map(({ name }) => name),
        response.headers.get("x-archived-count"),
      ];
    };
    assertEquals(await names(""), [["Babbage"], null]);
    assertEquals(await names("?include_archived=true"), [
      ["Ada", "Babbage"],
      "1",
    ]);
  } finally {
    await stack().sql("drop table if exists public.customers");
  }
});

Deno.test("the recipe's values of the variable are values that can be read", async () => {
  const shell = (await codeBlocks(PAGE, "sh")).join("\n");
  const values = [...shell.matchAll(/IDEMPOTENCY_ENFORCEMENT="?([^"\n]+)/g)];
  assertEquals(values.length, 4);
  for (const [, value] of values) parseEnforcement(value!);
});

Deno.test("the recipe's lines of shell do what they say", async () => {
  const cara = await signUp(stack());
  const script = (await codeBlocks(PAGE, "sh"))
    .filter((code) => !code.includes("supabase secrets"));
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [
      "-euo",
      "pipefail",
      "-c",
      [KEEP_STATUSES, ...script, DELETE_IT].join("\n"),
    ],
    env: {
      API_URL: stack().apiUrl,
      PUBLISHABLE_KEY: stack().publishableKey,
      SECRET_KEY: stack().secretKey,
      TOKEN: cara.headers["Authorization"]!.split(" ")[1]!,
    },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals(code, 0, text(stderr));
  const statuses = text(stderr).trim().split("\n").map(Number);
  assertEquals(statuses, [
    ...[201, 200, 412, 200, 200, 200, 200, 200, 200],
    // An organisation, a quotation of it, and the one that is deleted for good.
    ...[200, 201, 204],
  ]);
  const printed = text(stdout);
  for (const part of ["X-Idempotency-Missing", "X-Archived-Count: 1"]) {
    assertEquals(printed.toLowerCase().includes(part.toLowerCase()), true);
  }
  const history = JSON.parse(
    printed.split("\n").find((line) => line.startsWith("["))!,
  );
  assertEquals(
    history.map(({ action }: { action: string }) => action),
    ["created", "updated", "status_changed", "archived", "restored"],
  );
});
