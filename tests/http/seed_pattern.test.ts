import { assert, assertEquals } from "@std/assert";
import {
  checkIdempotency,
  createIdempotencyKey,
  getIdempotencyKey,
  getIdempotencyStatus,
  type LedgerClient,
  markIdempotencyFailed,
  refusalResponse,
  type SingleCallConfig,
  storeIdempotencyResult,
} from "../../shared/idempotency.ts";
import { unique } from "../support/probe.ts";
import { type Actor, project, signUp, withStack } from "../support/stack.ts";

// Check, answer from the cache, create, work, store: as people have it.

const DUPLICATES = 200;

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

type Work = () => Promise<unknown>;

/** A function of somebody's own around the calls; what it throws is a 500. */
async function handle(
  req: Request,
  supabase: LedgerClient,
  work: Work,
  config: SingleCallConfig = {},
): Promise<Response> {
  const { userId } = ada;
  const key = getIdempotencyKey(req);
  if (key === null) return Response.json(await work());
  try {
    const { isIdempotent, cachedResponse } = await checkIdempotency(
      supabase,
      key,
      userId,
      config,
    );
    if (isIdempotent && cachedResponse) {
      return new Response(cachedResponse.response, {
        status: cachedResponse.status_code,
        headers: cachedResponse.response_headers,
      });
    }
    await createIdempotencyKey(supabase, key, userId, config);
    const response = await work();
    const result = { response, statusCode: 200 };
    await storeIdempotencyResult(supabase, key, userId, result, config);
    return Response.json(response);
  } catch (error) {
    await markIdempotencyFailed(supabase, key, userId, error, config);
    return new Response("it broke", { status: 500 });
  }
}

const CLIENTS: Record<string, () => () => LedgerClient> = {
  "a client for each request": () => () => project(stack()).client,
  "a client of the module": () => {
    const { client } = project(stack());
    return () => client;
  },
};

function post(key: string): Request {
  return new Request("http://localhost/orders", {
    method: "POST",
    headers: { "Idempotency-Key": key },
  });
}

/** Sends the duplicates; the work goes on until half of them are answered. */
async function storm(
  one: (work: () => Promise<void>) => Promise<Response>,
): Promise<Map<number, Response[]>> {
  // The first call reads the schema, which is no part of the race.
  await getIdempotencyStatus(project(stack()).client, "none", null);
  const half = Promise.withResolvers<void>();
  let answered = 0;
  const answers = await Promise.all(
    Array.from({ length: DUPLICATES }, async () => {
      const answer = await one(() => half.promise);
      if (++answered >= DUPLICATES / 2) half.resolve();
      return answer;
    }),
  );
  return Map.groupBy(answers, ({ status }) => status);
}

for (const [kind, clients] of Object.entries(CLIENTS)) {
  Deno.test(`${DUPLICATES} duplicates, with ${kind}: one runs, each is answered 200 or 409`, async () => {
    const clientFor = clients();
    const key = unique("key");
    let runs = 0;
    const answers = await storm((work) =>
      handle(post(key), clientFor(), async () => {
        const order = ++runs;
        await work();
        return { order };
      })
    );
    assertEquals([...answers.keys()].sort(), [200, 409]);
    assertEquals(runs, 1);
    for (const { headers } of answers.get(409)!) {
      assert(["1", "2"].includes(headers.get("retry-after")!));
    }
    for (const answer of answers.get(200)!) {
      assertEquals(await answer.json(), { order: 1 });
    }
    const again = () => Promise.reject(new Error("ran again"));
    const retry = await handle(post(key), clientFor(), again);
    assertEquals([retry.status, await retry.json(), runs], [
      200,
      { order: 1 },
      1,
    ]);
  });

  Deno.test(`${DUPLICATES} duplicates that only create, with ${kind}: one runs, whoever is refused ends no other's attempt`, async () => {
    const clientFor = clients();
    const key = unique("key");
    let runs = 0;
    const one = async (work: () => Promise<void>) => {
      const supabase = clientFor();
      try {
        await createIdempotencyKey(supabase, key, ada.userId);
        runs += 1;
        await work();
        const result = { response: "done", statusCode: 200 };
        await storeIdempotencyResult(supabase, key, ada.userId, result);
        return new Response("done");
      } catch (error) {
        await markIdempotencyFailed(supabase, key, ada.userId, error);
        return refusalResponse(error, post(key));
      }
    };
    const answers = await storm(one);
    assertEquals([...answers.keys()].sort(), [200, 409]);
    assertEquals(runs, 1);
  });

  Deno.test(`work that fails is marked and runs again at once, with ${kind}`, async () => {
    const clientFor = clients();
    const key = unique("key");
    let runs = 0;
    const work = () => {
      if (++runs === 1) throw new Error("no network");
      return Promise.resolve({ order: runs });
    };
    const statuses = [];
    for (let n = 0; n < 3; n++) {
      statuses.push((await handle(post(key), clientFor(), work)).status);
    }
    assertEquals([statuses, runs], [[500, 200, 200], 2]);
  });
}

Deno.test("5 MiB are answered once; a duplicate is told 409 with the status, never an empty body", async () => {
  const key = unique("key");
  const { client } = project(stack());
  const body = "x".repeat(5 * 1024 * 1024);
  const first = await handle(post(key), client, () => Promise.resolve(body));
  assertEquals((await first.json()).length, body.length);
  const retry = await handle(post(key), client, () => Promise.resolve(""));
  const problem = await retry.json();
  assertEquals([retry.status, problem.code, problem.storedStatus], [
    409,
    "RESPONSE_NOT_STORED",
    200,
  ]);
});

Deno.test("work that throws and is not marked frees its key with the lease, and not later", async () => {
  const key = unique("key");
  const { client } = project(stack());
  // A busy machine asks late.
  const config = { leaseSeconds: 3 };
  await createIdempotencyKey(client, key, ada.userId, config);
  const work = () => Promise.resolve("done");
  const thrownAt = performance.now();
  let answer = await handle(post(key), client, work, config);
  assertEquals(answer.status, 409);
  while (answer.status === 409) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    answer = await handle(post(key), client, work, config);
  }
  assertEquals(answer.status, 200);
  const took = performance.now() - thrownAt;
  // Not only when an attempt has to be over, which is after 400 s.
  assert(took < 60_000, `free after ${took} ms`);
});

Deno.test("a user's own client works where the environment has the secret key, and is told what to do elsewhere", async () => {
  const key = unique("key");
  const work = () => Promise.resolve({ order: 1 });
  const answers = [];
  for (let n = 0; n < 2; n++) {
    answers.push(await (await handle(post(key), ada.client, work)).json());
  }
  assertEquals(answers, [{ order: 1 }, { order: 1 }]);

  const url = Deno.env.get("SUPABASE_URL")!;
  Deno.env.delete("SUPABASE_URL");
  try {
    const error = await createIdempotencyKey(
      ada.client,
      unique("key"),
      ada.userId,
    ).then(() => null, (error) => error);
    const response = refusalResponse(error, post(key));
    const problem = await response.json();
    assertEquals([response.status, problem.code, problem.retryable], [
      500,
      "LEDGER_MISCONFIGURED",
      false,
    ]);
    assert(problem.detail.includes("secret key's client"), problem.detail);
  } finally {
    Deno.env.set("SUPABASE_URL", url);
  }
});
