import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Hono } from "hono";
import { Validator } from "@seriousme/openapi-schema-validator";
import openapi from "../../../functions/crm/openapi.json" with { type: "json" };
import { call, type CallAnswer } from "../../support/call.ts";
import { newOrganization } from "../../support/organizations.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../../support/stack.ts";
import {
  type Attempt,
  lives,
  madeBy,
  prepare,
  send,
  type WriteRoute,
} from "../../support/write_routes.ts";

// A route is covered by being in the OpenAPI document, and is in it by the
// schemas of its function. What is about one thing goes through one life of it:
// twenty at once are as cheap to count for six routes as for one.
const AT_ONCE = 20;

// Rows that are there once for many requests: the first one makes them.
const SHARED = new Set([
  "credit_balances",
  "document_sequences",
  "recognition_addresses",
  "stock",
]);

const stack = withStack();
let ada: Actor;
let adaInNorth: Actor;
let ben: Actor;
let eve: Actor;
let countRows: string;

Deno.test.beforeAll(async () => {
  [ada, ben, eve] = await Promise.all([
    signUp(stack()),
    signUp(stack()),
    signUp(stack()),
  ]);
  const north = await newOrganization(ada);
  adaInNorth = {
    ...ada,
    headers: { ...ada.headers, "X-Organization-Id": north },
  };
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
  return new Map(
    counted.filter(({ name }) => !SHARED.has(name))
      .map(({ name, rows }) => [name, rows]),
  );
}

/** What was added to the tables between two counts. */
function added(
  before: Map<string, number>,
  after: Map<string, number>,
): Record<string, number> {
  return Object.fromEntries(
    [...after].map(([name, rows]) => [name, rows - before.get(name)!] as const)
      .filter(([, rows]) => rows !== 0),
  );
}

async function requiring<T>(work: () => Promise<T>): Promise<T> {
  Deno.env.set("IDEMPOTENCY_ENFORCEMENT", "*=required");
  try {
    return await work();
  } finally {
    Deno.env.delete("IDEMPOTENCY_ENFORCEMENT");
  }
}

/** A request that took effect. */
interface Done {
  route: WriteRoute;
  attempt: Attempt;
  key: string;
  answer: CallAnswer;
}

/** Sends what is to take effect to each route, with what the first one made. */
async function live(
  routes: readonly WriteRoute[],
  actor: Actor,
  request: (route: WriteRoute, attempt: Attempt) => Promise<CallAnswer>,
): Promise<void> {
  let made: string | undefined;
  for (const route of routes) {
    const attempt = await prepare(route, stack(), actor, made);
    const answer = await request(route, attempt);
    made ??= madeBy(answer);
  }
}

/** Sends a request twenty times at once, and what else has no effect. */
async function sendAll(
  route: WriteRoute,
  attempt: Attempt,
  key: string,
): Promise<CallAnswer> {
  const name = `${route.method} ${route.path}`;
  const ask = (changed: Partial<Attempt> = {}, as?: string) =>
    send(stack(), ada, route, { ...attempt, ...changed }, as);

  const answers = await Promise.all(
    Array.from({ length: AT_ONCE }, () => ask({}, key)),
  );
  const done = answers.filter(({ status }) => status === route.status);
  const waiting = answers.filter(({ body }) =>
    body?.code === "REQUEST_IN_PROGRESS"
  );
  const first = done[0]!;
  assert(done.length > 0, `${name}: ${JSON.stringify(answers[0]!.body)}`);
  assertEquals(done.length + waiting.length, AT_ONCE, name);
  assertEquals(done.filter(({ replayed }) => !replayed).length, 1, name);
  for (const { body } of done) assertEquals(body, first.body, name);

  const said = ({ status, body, replayed }: CallAnswer) => [
    name,
    status,
    replayed || body.code,
  ];
  const retry = await ask({}, key);
  assertEquals(said(retry), [name, route.status, true]);
  assertEquals(retry.body, first.body, name);
  const reused = await ask(
    attempt.other === undefined
      ? { path: `${attempt.path}?other=1` }
      : { body: attempt.other },
    key,
  );
  assertEquals(said(reused), [name, 422, "IDEMPOTENCY_KEY_REUSED"]);
  const keyless = await requiring(() => ask());
  assertEquals(
    said(keyless),
    // What is archived already stays so: nobody needs a key for that.
    route.method === "DELETE"
      ? [name, 200, undefined]
      : [name, 400, "IDEMPOTENCY_KEY_MISSING"],
  );
  const malformed = await ask(
    route.takesBody
      ? { body: "{" }
      : { path: attempt.path.replace(/[0-9a-f-]{36}/, "nonsense") },
    unique("key"),
  );
  assert([400, 404].includes(malformed.status), `${name}: ${malformed.status}`);
  return first;
}

for (const [about, routes] of lives()) {
  Deno.test(`${about}: each write takes effect once, for its user alone`, async () => {
    const done: Done[] = [];
    const before = await rows();
    await live(routes, ada, async (route, attempt) => {
      const key = unique("key");
      const answer = await sendAll(route, attempt, key);
      done.push({ route, attempt, key, answer });
      return answer;
    });
    const between = await rows();

    // The same keys in another organisation, or of another user.
    const other = routes[0]!.organizations ? adaInNorth : ben;
    await live(routes, other, async (route, attempt) => {
      const { key } = done.find((each) => each.route === route)!;
      const answer = await send(stack(), other, route, attempt, key);
      assertEquals(
        [answer.status, answer.replayed],
        [route.status, false],
        `${route.method} ${route.path}: ${JSON.stringify(answer.body)}`,
      );
      return answer;
    });
    assertEquals(
      added(before, between),
      added(between, await rows()),
      `${AT_ONCE} at once do what one does`,
    );

    for (const { route, attempt, key, answer } of done) {
      const name = `${route.method} ${route.path}`;
      const foreign = await send(stack(), eve, route, attempt, key);
      assertEquals([name, foreign.replayed], [name, false]);
      if (foreign.status === answer.status) {
        assertNotEquals(foreign.body, answer.body, name);
      } else {
        assert(
          [403, 404, 422].includes(foreign.status),
          `${name}: ${foreign.status}`,
        );
      }
    }
  });
}

Deno.test("every route that writes takes keys, or says in what it receives which it is", () => {
  const others = Object.entries(openapi.paths).flatMap(([path, operations]) =>
    Object.entries(operations as Record<string, object>)
      .filter(([method, operation]) =>
        /^(post|put|patch|delete)$/.test(method) &&
        !("x-idempotency" in operation)
      )
      .map(([method]) => `${method.toUpperCase()} ${path.slice(1)}`)
  );
  assertEquals(others, ["POST cleanup-idempotency", "POST stripe-webhook"]);
});

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
