import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Hono } from "hono";
import { Validator } from "@seriousme/openapi-schema-validator";
import openapi from "../../../functions/crm/openapi.json" with { type: "json" };
import { call } from "../../support/call.ts";
import { newOrganization } from "../../support/organizations.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../../support/stack.ts";
import { subscribe } from "../../support/subscriber.ts";
import { prepare, send, writeRoutes } from "../../support/write_routes.ts";

// A route is covered by being in the OpenAPI document, and is in it by the
// schemas of its function.
const AT_ONCE = 20;

const SUMS = new Set(["credit_balances", "document_sequences", "stock"]);

const stack = withStack();
type User = Actor & { userId: string };
let ada: User;
let ben: User;
let north: string;
let countRows: string;

Deno.test.beforeAll(async () => {
  // Events beyond the plan are asked about first.
  ada = await subscribe(stack(), { included: 1_000, cost: 1 });
  ben = await signUp(stack());
  north = await newOrganization(ada);
  const tables = await stack().sql<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
      and c.relname !~ '^(idempotency|probe)'
    order by 1`,
  );
  countRows = tables
    .map(({ name }) =>
      `select '${name}' as name, count(*)::int as rows from ${name}`
    )
    .join(" union all ");
});

/** How many rows each table has. */
async function rows(): Promise<Map<string, number>> {
  const counted = await stack().sql<{ name: string; rows: number }>(countRows);
  return new Map(counted.map(({ name, rows }) => [name, rows]));
}

/** What something adds to the tables, and what it ends in. */
async function effectOf<T>(work: () => Promise<T>): Promise<[T, object]> {
  const before = await rows();
  const result = await work();
  const added = [...await rows()]
    .map(([name, rows]) => [name, rows - before.get(name)!] as const)
    // Rows that are there once for many requests: the first one makes them.
    .filter(([name, rows]) => rows !== 0 && !SUMS.has(name));
  return [result, Object.fromEntries(added)];
}

async function requiring<T>(work: () => Promise<T>): Promise<T> {
  Deno.env.set("IDEMPOTENCY_ENFORCEMENT", "*=required");
  try {
    return await work();
  } finally {
    Deno.env.delete("IDEMPOTENCY_ENFORCEMENT");
  }
}

for (const route of writeRoutes) {
  Deno.test(`${route.method} ${route.path} takes effect once, for its user alone`, async () => {
    const attempt = await prepare(route, stack(), ada);
    const key = unique("key");
    const ask = (
      { path = attempt.path, body = attempt.body } = {},
      headers: Record<string, string> = {},
      actor: Actor = ada,
    ) => send(stack(), actor, route, { ...attempt, path, body }, key, headers);

    const [first, effect] = await effectOf(() => ask());
    assertEquals(first.status, route.status, JSON.stringify(first.body));
    assertEquals(first.replayed, false);

    const [others, none] = await effectOf(async () => {
      const retry = await ask();
      const reused = await ask(
        attempt.other === undefined
          ? { path: `${attempt.path}?other=1` }
          : { body: attempt.other },
      );
      const keyless = await requiring(() => send(stack(), ada, route, attempt));
      const malformed = await send(
        stack(),
        ada,
        route,
        route.takesBody
          ? { ...attempt, body: "{" }
          : { path: attempt.path.replace(/[0-9a-f-]{36}/, "nonsense") },
        unique("key"),
      );
      return { retry, reused, keyless, malformed };
    });
    const { retry, reused, keyless, malformed } = others;
    assertEquals([retry.status, retry.replayed], [first.status, true]);
    assertEquals(retry.body, first.body);
    assertEquals([reused.status, reused.body.code], [
      422,
      "IDEMPOTENCY_KEY_REUSED",
    ]);
    assertEquals([keyless.status, keyless.body.code], [
      400,
      "IDEMPOTENCY_KEY_MISSING",
    ]);
    assert([400, 404].includes(malformed.status), `${malformed.status}`);
    assertEquals(none, {}, "what is refused or replayed has no effect");

    // With the same key: never the answer of the other one.
    const foreign = await ask({}, {}, ben);
    assertEquals(foreign.replayed, false);
    if (foreign.status === first.status) {
      assertNotEquals(foreign.body, first.body);
    } else {
      assert([403, 404, 422].includes(foreign.status), `${foreign.status}`);
    }
    if (route.organizations) {
      const headers = { "X-Organization-Id": north };
      assertEquals((await ask({}, headers)).replayed, false);
    }

    const again = await prepare(route, stack(), ada);
    const shared = unique("key");
    const [answers, effectOfAll] = await effectOf(() =>
      Promise.all(
        Array.from(
          { length: AT_ONCE },
          () => send(stack(), ada, route, again, shared),
        ),
      )
    );
    const done = answers.filter(({ status }) => status === route.status);
    const waiting = answers.filter(({ body }) =>
      body?.code === "REQUEST_IN_PROGRESS"
    );
    assert(done.length >= 1);
    assertEquals(done.length + waiting.length, AT_ONCE);
    for (const { body } of done) assertEquals(body, done[0]!.body);
    assertEquals(effectOfAll, effect, `${AT_ONCE} at once do what one does`);
  });
}

Deno.test("the document is one that tools can read", async () => {
  const { valid, errors } = await new Validator().validate(
    structuredClone(openapi) as never,
  );
  assertEquals(errors, undefined);
  assertEquals(valid, true);
});

Deno.test("every function is in the document, and takes the methods that it says there", async () => {
  const names: string[] = [];
  for await (const { name } of Deno.readDir("functions")) {
    if (name !== "_kit") names.push(name);
  }
  const paths = Object.keys(openapi.paths);
  assertEquals(
    [...new Set(paths.map((path) => path.split("/")[1]!))].sort(),
    names.sort(),
  );
  for (const name of names) {
    const { routes } = await import(`../../../functions/${name}/index.ts`);
    if (routes === undefined) continue;
    const served = (routes as Hono).routes
      .map(({ path }) => path.replaceAll(/:(\w+)/g, "{$1}"))
      .filter((path) => !path.includes("*"));
    assertEquals(
      [...new Set(served)].sort(),
      paths.filter((path) => path.split("/")[1] === name).sort(),
    );
  }
  for (const [path, operations] of Object.entries(openapi.paths)) {
    const actor = "post" in operations && JSON.stringify(operations.post)
        .includes("secretKey")
      ? project(stack())
      : ada;
    const { status, headers } = await call(
      stack(),
      actor,
      path.slice(1).replace("{id}", crypto.randomUUID()),
      { method: "LINK" },
    );
    const allowed = (headers.get("allow") ?? "").toLowerCase().split(/, */)
      .filter((method) => !["head", "options", ""].includes(method)).sort();
    const documented = Object.keys(operations)
      .filter((name) => name !== "parameters").sort();
    assertEquals([path, status, allowed], [path, 405, documented]);
  }
});

Deno.test("the local stack and the function serve the document", async () => {
  const page = await fetch(`${stack().apiUrl}/openapi.json`);
  assertEquals(page.headers.get("content-type"), "application/json");
  assertEquals(await page.json(), openapi);
  const served = await call(stack(), ada, "crm/openapi.json", {
    method: "GET",
  });
  assertEquals([served.status, served.body], [200, openapi]);
});
