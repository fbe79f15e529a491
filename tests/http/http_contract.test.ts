import { assert, assertEquals, assertMatch } from "@std/assert";
import { loseAnswer } from "../support/ledger_row.ts";
import { effects, probe, unique } from "../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

async function problemOf(response: Response) {
  assertEquals(
    response.headers.get("content-type"),
    "application/problem+json",
  );
  assertMatch(response.headers.get("link") ?? "", /rel="describedby"/);
  const problem = await response.json();
  for (const member of ["type", "title", "detail", "instance"]) {
    assertEquals(typeof problem[member], "string", `${member} is missing`);
  }
  assertEquals(problem.status, response.status);
  assertEquals(typeof problem.retryable, "boolean");
  return problem;
}

Deno.test("a request with a key runs once, and its retry gets the same answer", async () => {
  const effect = unique("once");
  const request = {
    key: unique("key"),
    body: {
      effect,
      status: 201,
      body: '{"id":1}',
      headers: { location: "/1" },
    },
  };
  const first = await probe(stack(), ada, request);
  assertEquals(first.headers.get("x-idempotency-stored"), "true");
  assertEquals(first.headers.get("x-idempotency-replay"), null);
  const retry = await probe(stack(), ada, request);
  assertEquals(retry.headers.get("x-idempotency-replay"), "true");
  assertEquals(retry.headers.get("x-idempotency-stored"), null);
  assertEquals(retry.status, 201);
  assertEquals(retry.headers.get("location"), "/1");
  assertEquals(await retry.text(), await first.text());
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("a request without a key runs every time, unmarked", async () => {
  const effect = unique("no-key");
  for (let n = 0; n < 2; n++) {
    const response = await probe(stack(), ada, { body: { effect } });
    await response.body?.cancel();
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("x-idempotency-stored"), null);
    assertEquals(response.headers.get("x-idempotency-missing"), null);
  }
  assertEquals(await effects(stack(), effect), 2);
});

Deno.test("a request without a key is warned about where the route says so", async () => {
  const response = await probe(stack(), ada, {
    config: { enforcement: "warn" },
  });
  await response.body?.cancel();
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("x-idempotency-missing"), "true");
});

Deno.test("a request without a key is refused where the route requires one", async () => {
  const effect = unique("required");
  const response = await probe(stack(), ada, {
    body: { effect },
    config: { enforcement: "required" },
  });
  assertEquals(response.status, 400);
  assertEquals((await problemOf(response)).code, "IDEMPOTENCY_KEY_MISSING");
  assertEquals(await effects(stack(), effect), 0);
});

for (
  const [title, headers] of [
    ["a malformed key", { "Idempotency-Key": "not a key" }],
    ["two keys that disagree", {
      "Idempotency-Key": "order-17",
      "X-Idempotency-Key": "order-18",
    }],
  ] as const
) {
  Deno.test(`${title} is refused with 400 and nothing runs`, async () => {
    const effect = unique("malformed");
    const response = await probe(stack(), ada, { body: { effect }, headers });
    assertEquals(response.status, 400);
    assertEquals((await problemOf(response)).code, "IDEMPOTENCY_KEY_INVALID");
    assertEquals(await effects(stack(), effect), 0);
  });
}

Deno.test("the same key with another payload is refused with 422", async () => {
  const effect = unique("reused");
  const key = unique("key");
  await (await probe(stack(), ada, { key, body: { effect } })).body?.cancel();
  const response = await probe(stack(), ada, {
    key,
    body: { effect, status: 201 },
  });
  assertEquals(response.status, 422);
  const problem = await problemOf(response);
  assertEquals([problem.code, problem.retryable], [
    "IDEMPOTENCY_KEY_REUSED",
    false,
  ]);
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("a duplicate of a running request gets 409 and when to ask again", async () => {
  const effect = unique("running");
  const request = { key: unique("key"), body: { effect, delayMs: 1500 } };
  const first = probe(stack(), ada, request);
  while (await effects(stack(), effect) === 0);
  const duplicate = await probe(stack(), ada, request);
  assertEquals(duplicate.status, 409);
  assert(Number(duplicate.headers.get("retry-after")) >= 1);
  const problem = await problemOf(duplicate);
  assertEquals([problem.code, problem.retryable], [
    "REQUEST_IN_PROGRESS",
    true,
  ]);
  await (await first).body?.cancel();
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("a duplicate waits for the running request where the route says so", async () => {
  const effect = unique("waiting");
  const request = {
    key: unique("key"),
    body: { effect, delayMs: 800, body: "done" },
    config: { onConcurrent: "wait", waitSeconds: 10 } as const,
  };
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => probe(stack(), ada, request)),
  );
  assertEquals(
    await Promise.all(answers.map((a) => a.text())),
    Array(5).fill("done"),
  );
  const replayed = answers.filter((a) => a.headers.get("x-idempotency-replay"));
  assertEquals(replayed.length, 4);
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("a wait has an end", async () => {
  const request = {
    key: unique("key"),
    body: { delayMs: 4000 },
    config: { onConcurrent: "wait", waitSeconds: 1 } as const,
  };
  const first = probe(stack(), ada, request);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const second = await probe(stack(), ada, request);
  assertEquals(second.status, 409);
  assertEquals((await problemOf(second)).code, "REQUEST_IN_PROGRESS");
  await (await first).body?.cancel();
});

for (const status of [200, 201, 204, 302, 400, 404, 410, 422]) {
  Deno.test(`an answer with status ${status} is final`, async () => {
    const effect = unique("final");
    const request = { key: unique("key"), body: { effect, status } };
    for (const replayed of [null, "true"]) {
      const response = await probe(stack(), ada, request);
      await response.body?.cancel();
      assertEquals(response.status, status);
      assertEquals(response.headers.get("x-idempotency-replay"), replayed);
    }
    assertEquals(await effects(stack(), effect), 1);
  });
}

for (const status of [401, 403, 408, 409, 425, 429, 500, 502, 503]) {
  Deno.test(`an answer with status ${status} is not final: the retry runs`, async () => {
    const effect = unique("not-final");
    const request = { key: unique("key"), body: { effect, status } };
    for (let n = 0; n < 2; n++) {
      const response = await probe(stack(), ada, request);
      await response.body?.cancel();
      assertEquals(response.status, status);
      assertEquals(response.headers.get("x-idempotency-stored"), null);
      assertEquals(response.headers.get("x-idempotency-replay"), null);
    }
    assertEquals(await effects(stack(), effect), 2);
  });
}

Deno.test("what the handler marks as not final runs again", async () => {
  const request = { key: unique("key"), body: { nonsense: true } };
  for (let n = 0; n < 2; n++) {
    const response = await probe(stack(), ada, request);
    assertEquals(response.status, 400);
    assertEquals(response.headers.get("x-idempotency-replay"), null);
    await response.body?.cancel();
  }
});

Deno.test("a handler that throws leaves a key that runs again", async () => {
  const effect = unique("throws");
  const request = { key: unique("key"), body: { effect, throw: true } };
  for (let n = 0; n < 2; n++) {
    const response = await probe(stack(), ada, request);
    await response.body?.cancel();
    assertEquals(response.status, 500);
  }
  assertEquals(await effects(stack(), effect), 2);
});

Deno.test("an abandoned key runs again after its lease, as attempt 2", async () => {
  const effect = unique("abandoned");
  const request = {
    key: unique("key"),
    body: { effect },
    config: { leaseSeconds: 1, onAbandoned: "retry" } as const,
  };
  await abandon(request.key, request.body);
  const response = await probe(stack(), ada, request);
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("x-idempotency-stored"), "true");
  await response.body?.cancel();
  assertEquals(await attempts(request.key), 2);
});

Deno.test("an abandoned key answers 409 where the route refuses to guess", async () => {
  const request = {
    key: unique("key"),
    body: { effect: unique("refused") },
    config: { onAbandoned: "refuse" } as const,
  };
  await abandon(request.key, request.body);
  const response = await probe(stack(), ada, request);
  assertEquals(response.status, 409);
  const problem = await problemOf(response);
  assertEquals([problem.code, problem.retryable], ["OUTCOME_UNKNOWN", false]);
});

Deno.test("an answer too large to keep is given once, then its status is told", async () => {
  const effect = unique("large");
  const request = {
    key: unique("key"),
    body: { effect, body: "x".repeat(4 * 1024 * 1024 + 1) },
  };
  const first = await probe(stack(), ada, request);
  assertEquals((await first.text()).length, 4 * 1024 * 1024 + 1);
  const retry = await probe(stack(), ada, request);
  assertEquals(retry.status, 409);
  const problem = await problemOf(retry);
  assertEquals(problem.code, "RESPONSE_NOT_STORED");
  assertEquals(problem.storedStatus, 200);
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("the project's own keys are not a user's", async () => {
  const effect = unique("project");
  const request = { key: unique("key"), body: { effect } };
  for (const actor of [ada, project(stack())]) {
    const response = await probe(stack(), actor, request);
    await response.body?.cancel();
    assertEquals(response.headers.get("x-idempotency-stored"), "true");
  }
  assertEquals(await effects(stack(), effect), 2);
});

/** Leaves the key as a crashed worker does, with its lease over. */
async function abandon(key: string, body: Record<string, unknown>) {
  const response = await probe(stack(), ada, { key, body });
  await response.body?.cancel();
  await loseAnswer(stack(), key);
}

async function attempts(key: string): Promise<number> {
  const [row] = await stack().sql<{ attempt: number }>(
    "select attempt from public.idempotency_keys where idempotency_key = $1",
    [key],
  );
  return row?.attempt ?? 0;
}
