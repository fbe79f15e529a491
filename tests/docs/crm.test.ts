import { assertEquals } from "@std/assert";
import { call } from "../support/call.ts";
import { codeBlocks } from "../support/documented.ts";
import { unique } from "../support/probe.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

// docs/recipes/crm.md, block by block.
const PAGE = "recipes/crm.md";

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

Deno.test("the recipe's lines of shell do what they say", async () => {
  const script = await codeBlocks(PAGE, "sh");
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: [
      "-euo",
      "pipefail",
      "-c",
      [
        String
          .raw`curl() { command curl -s -w '%{stderr}%{http_code}\n' "$@"; }`,
        ...script,
      ].join("\n"),
    ],
    env: {
      API_URL: stack().apiUrl,
      PUBLISHABLE_KEY: stack().publishableKey,
      TOKEN: ada.headers["Authorization"]!.split(" ")[1]!,
    },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals(code, 0, text(stderr));
  assertEquals(
    text(stderr).trim().split("\n").map(Number),
    [201, 201, 200, 409, 400, 200, 200, 200, 200],
  );
  for (const part of ["STATUS_CHANGE_NOT_ALLOWED", "confirm-1", "again-1"]) {
    assertEquals(text(stdout).includes(part), true, part);
  }
});

Deno.test("the recipe's queries tell what somebody did, and find nothing wrong until something is", async () => {
  const key = unique("key");
  const { body: client } = await call(stack(), ada, "crm/clients", {
    body: { name: "Fogg" },
    key,
  });
  const { body: booking } = await call(stack(), ada, "crm/bookings", {
    body: {
      title: "Suez",
      clientId: client.id,
      startsOn: "2027-01-01",
      endsOn: "2027-01-02",
      travellers: 1,
      totalMinor: 1,
      currency: "GBP",
    },
    key: unique("key"),
  });
  const done = await stack().sql<{ idempotency_key: string }>(
    queryWith("changed_by = ").replace(
      "00000000-0000-4000-8000-000000000001",
      ada.userId,
    ),
  );
  assertEquals(done.some((row) => row.idempotency_key === key), true);
  const [twice, versions] = [
    queryWith("count(distinct request_id) > 1"),
    queryWith("crm_bookings"),
  ];
  assertEquals(await stack().sql(twice), []);
  assertEquals(await stack().sql(versions), []);

  await stack().sql(
    `insert into public.crm_audit (user_id, resource, row_id, action, version, changes, changed_by, request_id, idempotency_key, http_method, route)
    select user_id, resource, row_id, 'updated', 2, '{}', changed_by, 'another', idempotency_key, http_method, route
    from public.crm_audit where row_id = $1`,
    [booking.id],
  );
  assertEquals((await stack().sql(twice)).length, 1);
  assertEquals(
    (await stack().sql<{ id: string }>(versions)).map(({ id }) => id),
    [booking.id],
  );
  await stack().sql(
    "update public.crm_audit set changed_at = now() - interval '11 years' where row_id = $1",
    [booking.id],
  );
  await stack().sql(queryWith("delete from crm_audit"));
  const left = await stack().sql(
    "select from public.crm_audit where row_id = $1",
    [booking.id],
  );
  assertEquals(left, []);
});
