import { assert, assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import {
  AlreadyCompletedError,
  CallerUnknownError,
  checkIdempotency,
  cleanupExpiredKeys,
  createIdempotencyKey,
  encrypted,
  flushReplayCounts,
  generateIdempotencyKey,
  getIdempotencyStatus,
  KeyReusedError,
  type Ledger,
  LedgerUnavailableError,
  markIdempotencyFailed,
  memoryLedger,
  NotOwnerError,
  OutcomeUnknownError,
  postgresLedger,
  refusalResponse,
  RequestInProgressError,
  ResponseNotStoredError,
  runMany,
  setDefaultLedger,
  type SingleCallConfig,
  storeIdempotencyResult,
  withIdempotency,
} from "../../shared/idempotency.ts";

const USER = "ada";
const secret = crypto.getRandomValues(new Uint8Array(32));
const RESULT = { response: { order: 17 }, statusCode: 201 };
const RECORDED = { response: "", status_code: 201, response_headers: {} };
const req = new Request("http://localhost/orders", { method: "POST" });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A ledger in memory whose clock can be moved. */
function bench() {
  let ahead = 0;
  const ledger = memoryLedger({ now: () => Date.now() + ahead });
  return {
    ledger,
    key: generateIdempotencyKey(),
    age: (seconds: number) => void (ahead += seconds * 1000),
  };
}

/** The same keys through a ledger of one's own: another worker, to the calls. */
const clientOf = (ledger: Ledger): Ledger => ({ ...ledger });

Deno.test("memoryLedger() does wherever a client is taken", async () => {
  const { ledger, key, age } = bench();
  assertEquals((await checkIdempotency(ledger, key, USER)).isIdempotent, false);
  await createIdempotencyKey(ledger, key, USER);
  assertEquals(
    (await getIdempotencyStatus(ledger, key, USER))?.status,
    "processing",
  );
  await storeIdempotencyResult(ledger, key, USER, RESULT);
  const { cachedResponse } = await checkIdempotency(ledger, key, USER);
  assertEquals(cachedResponse?.response, '{"order":17}');
  const failing = generateIdempotencyKey();
  await createIdempotencyKey(ledger, failing, USER);
  await markIdempotencyFailed(ledger, failing, USER, "no");
  const order = { userId: USER, route: "orders", key };
  const run = () => Promise.resolve({ status: 200, body: 1 });
  const operation = { ...order, supabase: ledger };
  assertEquals((await withIdempotency(operation, run)).replayed, false);
  setDefaultLedger(ledger);
  assertEquals((await withIdempotency(order, run)).replayed, true);
  const items = [{ key, input: 1 }];
  const [batched] = await runMany({ ...operation, items }, run);
  assertEquals(batched?.replayed, true);
  age(90_000);
  assertEquals(await cleanupExpiredKeys(ledger), 3);
});

Deno.test("a check claims: of those that follow each is told 409 and when to ask again, without an exception", async () => {
  const { ledger, key } = bench();
  const config = { leaseSeconds: 600 };
  assertEquals(
    (await checkIdempotency(ledger, key, USER, config)).isIdempotent,
    false,
  );
  const { isIdempotent, cachedResponse } = await checkIdempotency(
    ledger,
    key,
    USER,
    config,
  );
  assertEquals([isIdempotent, cachedResponse?.status_code], [true, 409]);
  const { "retry-after": wait } = cachedResponse!.response_headers;
  assert(["1", "2"].includes(wait!), `Retry-After: ${wait}`);
  assertEquals(
    JSON.parse(cachedResponse!.response).code,
    "REQUEST_IN_PROGRESS",
  );
});

Deno.test("a create without a check claims, and throws for those who may not run", async () => {
  const { ledger, key } = bench();
  const claim = await createIdempotencyKey(ledger, key, USER);
  assertEquals(claim.attempt, 1);
  const error = await assertRejects(
    () => createIdempotencyKey(ledger, key, USER),
    RequestInProgressError,
  );
  const response = refusalResponse(error, req);
  assertEquals(response.status, 409);
  assert(Number(response.headers.get("retry-after")) <= 2);
});

Deno.test("a check that nobody follows up frees itself with its lease", async () => {
  const { ledger, key, age } = bench();
  await checkIdempotency(ledger, key, USER);
  age(31);
  assertEquals((await checkIdempotency(ledger, key, USER)).isIdempotent, false);
  assertEquals((await createIdempotencyKey(ledger, key, USER)).attempt, 2);
});

Deno.test("a create that comes after its check's lease, when somebody else has the key, is refused", async () => {
  const { ledger, key, age } = bench();
  const late = clientOf(ledger);
  const config = { leaseSeconds: 1 };
  await checkIdempotency(late, key, USER, config);
  age(2);
  const winner = await checkIdempotency(clientOf(ledger), key, USER);
  assertEquals(winner.isIdempotent, false);
  await sleep(600);
  await assertRejects(
    () => createIdempotencyKey(late, key, USER, config),
    RequestInProgressError,
  );
});

Deno.test("the lease counts from before the claim was sent: one that took long is asked for again", async () => {
  const { ledger, key } = bench();
  const calls: string[] = [];
  const slow: Ledger = {
    ...ledger,
    async claim(...args) {
      const claimed = await ledger.claim(...args);
      await sleep(700);
      return claimed;
    },
    renew: (...args) => (calls.push("renew"), ledger.renew(...args)),
  };
  await checkIdempotency(slow, key, USER, { leaseSeconds: 1 });
  await createIdempotencyKey(slow, key, USER, { leaseSeconds: 1 });
  assertEquals(calls, ["renew"]);
});

for (const kind of ["one client for all", "a client for each request"]) {
  const clientFor = (ledger: Ledger) =>
    kind === "one client for all" ? ledger : clientOf(ledger);

  Deno.test(`an operation that throws, and that nobody marks, frees its key with its lease, for the next (${kind})`, async () => {
    const { ledger, key, age } = bench();
    const config = { leaseSeconds: 1 };
    const place = async (work: () => void) => {
      const client = clientFor(ledger);
      const { cachedResponse } = await checkIdempotency(
        client,
        key,
        USER,
        config,
      );
      if (cachedResponse) return cachedResponse.status_code;
      await createIdempotencyKey(client, key, USER, config);
      work();
      await storeIdempotencyResult(client, key, USER, RESULT, config);
      return 201;
    };
    const broken = () => {
      throw new Error("no network");
    };
    await assertRejects(() => place(broken), Error, "no network");
    assertEquals(await place(() => {}), 409);
    age(1.1);
    assertEquals(await place(() => {}), 201);
    assertEquals(await place(broken), 201);
  });
}

Deno.test("a late answer through the winner's client is told the winner's", async () => {
  const { ledger, key, age } = bench();
  const config = { leaseSeconds: 1 };
  await createIdempotencyKey(ledger, key, USER, config);
  age(2);
  await createIdempotencyKey(ledger, key, USER, config);
  await storeIdempotencyResult(ledger, key, USER, RESULT);
  const error = await assertRejects(
    () =>
      storeIdempotencyResult(ledger, key, USER, {
        response: "late",
        statusCode: 200,
      }),
    AlreadyCompletedError,
  );
  assertEquals(error.cachedResponse.response, '{"order":17}');
});

Deno.test("a late answer through a client of its own is not taken for the winner's", async () => {
  const { ledger, key, age } = bench();
  const [late, winner] = [clientOf(ledger), clientOf(ledger)];
  const config = { leaseSeconds: 1 };
  await createIdempotencyKey(late, key, USER, config);
  age(2);
  await createIdempotencyKey(winner, key, USER, config);
  const error = await assertRejects(
    () =>
      storeIdempotencyResult(late, key, USER, {
        response: "late",
        statusCode: 200,
      }),
    NotOwnerError,
  );
  assertEquals(error.code, "KEY_TAKEN_OVER");
  await storeIdempotencyResult(winner, key, USER, RESULT);
  const { cachedResponse } = await checkIdempotency(ledger, key, USER);
  assertEquals(cachedResponse?.response, '{"order":17}');
});

Deno.test("errors that are each other's cause end an attempt like any other", async () => {
  const { ledger, key } = bench();
  await createIdempotencyKey(ledger, key, USER);
  const one = new Error("no order");
  one.cause = new Error("no stock", { cause: one });
  await markIdempotencyFailed(ledger, key, USER, one);
  await createIdempotencyKey(ledger, key, USER);
});

for (
  const [how, told] of [
    ["the error", (error: Error) => error],
    [
      "an error of its own around it",
      (cause: Error) =>
        new Error("no order", { cause: new Error("no key", { cause }) }),
    ],
    ["its message", (error: Error) => error.message],
  ] as const
) {
  Deno.test(`whoever was refused and marks the key as failed, with ${how}, does not end the attempt of the one who runs`, async () => {
    const { ledger, key } = bench();
    await createIdempotencyKey(ledger, key, USER);
    const error = await assertRejects(
      () => createIdempotencyKey(ledger, key, USER),
      RequestInProgressError,
    );
    await markIdempotencyFailed(ledger, key, USER, told(error));
    assertEquals(
      (await checkIdempotency(ledger, key, USER)).isIdempotent,
      true,
    );
    await storeIdempotencyResult(ledger, key, USER, RESULT);
    const replay = await checkIdempotency(ledger, key, USER);
    assertEquals(replay.cachedResponse?.status_code, 201);
  });
}

for (
  const [what, refusal] of [
    ["reused", (key: string) => new KeyReusedError(key)],
    ["interrupted", (key: string) => new OutcomeUnknownError(key)],
    ["completed", (key: string) => new AlreadyCompletedError(key, RECORDED)],
    ["not stored", (key: string) => new ResponseNotStoredError(key, 201)],
    [
      "taken over",
      (key: string) => new NotOwnerError("KEY_TAKEN_OVER", key, "by another"),
    ],
  ] as const
) {
  Deno.test(`the message alone of a refusal is known for one: ${what}`, async () => {
    const { ledger, key } = bench();
    await createIdempotencyKey(ledger, key, USER);
    for (const told of [refusal(key).message, `${refusal(key)}`]) {
      await markIdempotencyFailed(ledger, key, USER, told);
    }
    await storeIdempotencyResult(ledger, key, USER, RESULT);
  });
}

Deno.test("an error of the application that names the key frees it, as any other does", async () => {
  for (
    const error of [
      (key: string) => new Error(`duplicate key "${key}" in orders`),
      (key: string) => `the key "${key}" is locked`,
      (key: string) => `the request with the key "${key}" was lost`,
    ]
  ) {
    const { ledger, key } = bench();
    await createIdempotencyKey(ledger, key, USER);
    await markIdempotencyFailed(ledger, key, USER, error(key));
    const retry = await createIdempotencyKey(ledger, key, USER);
    assertEquals(retry.attempt, 2);
  }
});

Deno.test("whoever is refused for another payload ends nothing of the one who checked", async () => {
  const { ledger, key } = bench();
  await checkIdempotency(ledger, key, USER, { payload: 1 });
  const other = { payload: 2 };
  const error = await assertRejects(
    () => createIdempotencyKey(ledger, key, USER, other),
    TypeError,
  );
  await markIdempotencyFailed(ledger, key, USER, error, other);
  const claim = await createIdempotencyKey(ledger, key, USER, { payload: 1 });
  assertEquals(claim.attempt, 1);
});

Deno.test("a refusal of another scope's key says nothing of this one", async () => {
  const { ledger, key } = bench();
  const other = { scope: "other" };
  await createIdempotencyKey(ledger, key, USER, other);
  await createIdempotencyKey(ledger, key, USER);
  const error = await assertRejects(
    () => createIdempotencyKey(ledger, key, USER, other),
    RequestInProgressError,
  );
  await markIdempotencyFailed(ledger, key, USER, error);
  assertEquals((await createIdempotencyKey(ledger, key, USER)).attempt, 2);
});

Deno.test("whoever has begun nothing and marks the key as failed does not end the attempt of the one who runs", async () => {
  const { ledger, key } = bench();
  // Each request makes a client of its own; they are of one project.
  const clientOfRequest = (): Ledger => ({ ...ledger, place: "project" });
  const runs = clientOfRequest();
  for (const config of [{}, { scope: "offered" }]) {
    await checkIdempotency(runs, key, USER, config);
    if (config.scope === undefined) {
      await createIdempotencyKey(runs, key, USER, config);
    }
    // A retry whose body arrived cut off: its handler throws before it checks.
    await assertRejects(
      () =>
        markIdempotencyFailed(clientOfRequest(), key, USER, "no JSON", config),
      NotOwnerError,
      "another client",
    );
    const retry = await checkIdempotency(clientOfRequest(), key, USER, config);
    assertEquals(retry.cachedResponse?.status_code, 409);
    await markIdempotencyFailed(runs, key, USER, "no network", config);
  }
});

Deno.test("a claim settles the key that it is of, and no other", async () => {
  const { ledger, key } = bench();
  const claim = await createIdempotencyKey(ledger, key, USER);
  const others = [
    [generateIdempotencyKey(), USER, {}],
    [key, "bob", {}],
    [key, USER, { scope: "refunds" }],
  ] as const;
  for (const [other, user, scope] of others) {
    const config = { ...scope, claim };
    await createIdempotencyKey(ledger, other, user, scope);
    for (
      const settle of [
        () => storeIdempotencyResult(ledger, other, user, RESULT, config),
        () => markIdempotencyFailed(ledger, other, user, "no", config),
      ]
    ) await assertRejects(settle, NotOwnerError, "another key");
    const status = await getIdempotencyStatus(ledger, key, USER);
    assertEquals(status?.status, "processing");
  }
  // Another object on the same ledger settles it all the same.
  await storeIdempotencyResult(clientOf(ledger), key, USER, RESULT, { claim });
});

// The database would take half a surrogate pair for U+FFFD, and so two users
// for one.
for (const id of ["", "u\0", "u\ud800"]) {
  Deno.test(`a user whose id cannot be kept (${JSON.stringify(id)}) shares no keys with anybody`, async () => {
    const { ledger, key } = bench();
    const { cachedResponse } = await checkIdempotency(ledger, key, id);
    assertEquals(cachedResponse?.status_code, 403);
    await assertRejects(
      () => createIdempotencyKey(ledger, key, id),
      CallerUnknownError,
    );
  });
}

Deno.test("a create whose check is old, with the ledger out of reach, does as onLedgerDown says, and can be tried again", async () => {
  const { ledger } = bench();
  let isDown = false;
  const store: Ledger = {
    ...ledger,
    renew: (...args) =>
      isDown
        ? Promise.reject(new LedgerUnavailableError("renew it", "gone"))
        : ledger.renew(...args),
  };
  for (const onLedgerDown of ["run", "reject"] as const) {
    const config = { leaseSeconds: 2, onLedgerDown };
    const key = generateIdempotencyKey();
    isDown = false;
    await checkIdempotency(store, key, USER, config);
    await sleep(1_050);
    isDown = true;
    const create = () => createIdempotencyKey(store, key, USER, config);
    if (onLedgerDown === "run") {
      assertEquals((await create()).attempt, 1);
    } else {
      await assertRejects(create, LedgerUnavailableError);
      isDown = false;
      assertEquals((await create()).attempt, 1);
    }
    await storeIdempotencyResult(store, key, USER, RESULT, config);
  }
});

Deno.test("await using renews while the block runs, and frees the key at once when it is left", async () => {
  const { ledger, key } = bench();
  const config = { leaseSeconds: 1 };
  const broken = async () => {
    await using _claim = await createIdempotencyKey(ledger, key, USER, config);
    await sleep(1_500);
    const { cachedResponse } = await checkIdempotency(
      ledger,
      key,
      USER,
      config,
    );
    assertEquals(cachedResponse?.status_code, 409);
    throw new Error("no network");
  };
  await assertRejects(broken, Error, "no network");
  let runs = 0;
  {
    await using claim = await createIdempotencyKey(ledger, key, USER, config);
    assertEquals([claim.attempt, ++runs], [2, 1]);
    await storeIdempotencyResult(ledger, key, USER, RESULT, config);
  }
  const { cachedResponse } = await checkIdempotency(ledger, key, USER, config);
  assertEquals(cachedResponse?.status_code, 201);
});

Deno.test("await using leaves its block without an error of its own, whoever has answered meanwhile", async () => {
  const { ledger, key, age } = bench();
  const config = { keepBody: () => false };
  {
    await using _claim = await createIdempotencyKey(ledger, key, USER, config);
    age(60);
    const other = clientOf(ledger);
    const claim = await createIdempotencyKey(other, key, USER, config);
    const settling = { ...config, claim };
    await storeIdempotencyResult(other, key, USER, RESULT, settling);
  }
  const { cachedResponse } = await checkIdempotency(ledger, key, USER, config);
  assertEquals(cachedResponse?.status_code, 409);
});

Deno.test("a claim that has run for maxRunSeconds is known for as long as its lease lasts", async () => {
  const { ledger, key } = bench();
  const config = { leaseSeconds: 2, maxRunSeconds: 2 };
  await using _claim = await createIdempotencyKey(ledger, key, USER, config);
  await sleep(2_100);
  // Whoever has ended is forgotten as others come.
  await checkIdempotency(ledger, generateIdempotencyKey(), USER, config);
  await storeIdempotencyResult(ledger, key, USER, RESULT, config);
  const { cachedResponse } = await checkIdempotency(ledger, key, USER, config);
  assertEquals(cachedResponse?.status_code, 201);
});

Deno.test("without await using nobody renews: the lease is what leaseSeconds says", async () => {
  const { ledger, key, age } = bench();
  const leases: number[] = [];
  const calls: string[] = [];
  const listening: Ledger = {
    ...ledger,
    claim(identity, terms) {
      leases.push(terms.leaseSeconds);
      return ledger.claim(identity, terms);
    },
    renew: (...args) => (calls.push("renew"), ledger.renew(...args)),
  };
  const config = { leaseSeconds: 2 };
  const claim = await createIdempotencyKey(listening, key, USER, config);
  // As it is copied for a queue, or looked at by a test.
  const { ownerToken, attempt, fence } = claim;
  assertEquals({ ...claim }, { ownerToken, attempt, fence } as typeof claim);
  await sleep(1_000);
  age(0.5);
  assertEquals(
    (await checkIdempotency(listening, key, USER, config)).isIdempotent,
    true,
  );
  age(1);
  assertEquals(
    (await checkIdempotency(listening, key, USER, config)).isIdempotent,
    false,
  );
  assertEquals([new Set(leases), calls], [new Set([2]), []]);
});

Deno.test("a body too large to keep is told as such, never as an empty one", async () => {
  const { ledger, key } = bench();
  const large = {
    response: "x".repeat(5 * 1024 * 1024),
    statusCode: 201,
    headers: { Location: "/exports/17" },
  };
  await createIdempotencyKey(ledger, key, USER);
  await storeIdempotencyResult(ledger, key, USER, large);
  const { cachedResponse } = await checkIdempotency(ledger, key, USER);
  assertEquals(cachedResponse?.status_code, 409);
  const problem = JSON.parse(cachedResponse!.response);
  assertEquals([problem.code, problem.storedStatus], [
    "RESPONSE_NOT_STORED",
    201,
  ]);
  assertEquals(cachedResponse?.response_headers["location"], "/exports/17");
});

for (
  const [call, options] of Object.entries({
    "createIdempotencyKey()": (given: SingleCallConfig) => [given, {}],
    "storeIdempotencyResult()": (given: SingleCallConfig) => [{}, given],
  })
) {
  /** Check, create, store; the check names nothing. */
  const store = async (
    { ledger, key }: ReturnType<typeof bench>,
    given: SingleCallConfig,
    statusCode = 201,
  ) => {
    const [atCreate, atStore] = options(given);
    await checkIdempotency(ledger, key, USER);
    await createIdempotencyKey(ledger, key, USER, atCreate);
    const result = { ...RESULT, statusCode };
    await storeIdempotencyResult(ledger, key, USER, result, atStore);
  };
  const codeOf = async ({ ledger, key }: ReturnType<typeof bench>) => {
    const { cachedResponse } = await checkIdempotency(ledger, key, USER);
    return JSON.parse(cachedResponse?.response ?? "{}").code;
  };

  Deno.test(`how the attempt ends is not ignored where ${call} alone says it`, async () => {
    const short = bench();
    await store(short, { ttlSeconds: 60 });
    short.age(61);
    const { ledger, key } = short;
    const { isIdempotent } = await checkIdempotency(ledger, key, USER);
    assertEquals(isIdempotent, false, "kept for longer than it said");

    const secret = bench();
    await store(secret, { keepBody: () => false });
    assertEquals(await codeOf(secret), "RESPONSE_NOT_STORED");

    const final = bench();
    await store(final, { isFinal: () => true }, 500);
    const again = await checkIdempotency(final.ledger, final.key, USER);
    assertEquals(again.cachedResponse?.status_code, 500);

    const told = Promise.withResolvers<string>();
    await store(bench(), { onEvent: ({ outcome }) => told.resolve(outcome) });
    assertEquals(await told.promise, "executed");
  });
}

Deno.test("a failure is kept for as long as the call says that marks it", async () => {
  const { ledger, key, age } = bench();
  await createIdempotencyKey(ledger, key, USER);
  const ttlSeconds = { failed: 60 };
  await markIdempotencyFailed(ledger, key, USER, "no", { ttlSeconds });
  age(61);
  assertEquals(await getIdempotencyStatus(ledger, key, USER), null);
});

Deno.test("a status that no answer can have is refused, and the key is left as it is", async () => {
  const { ledger, key } = bench();
  await createIdempotencyKey(ledger, key, USER);
  for (const statusCode of [199, 600, 200.5, NaN, -200]) {
    await assertRejects(
      () =>
        storeIdempotencyResult(ledger, key, USER, { ...RESULT, statusCode }),
      TypeError,
      `an integer from 200 to 599, got ${statusCode}`,
    );
  }
  for (const statusCode of [200, 599]) {
    const other = generateIdempotencyKey();
    const config = { isFinal: () => true };
    const result = { ...RESULT, statusCode };
    await createIdempotencyKey(ledger, other, USER, config);
    await storeIdempotencyResult(ledger, other, USER, result, config);
    const { cachedResponse } = await checkIdempotency(ledger, other, USER);
    assertEquals(cachedResponse?.status_code, statusCode);
  }
  await storeIdempotencyResult(ledger, key, USER, RESULT);
});

for (const response of ["\uFEFF{}", "a\0b", "", "{ }", "ﷺ🦕"]) {
  Deno.test(`a text comes back as it was stored: ${JSON.stringify(response)}`, async () => {
    const { ledger, key } = bench();
    await createIdempotencyKey(ledger, key, USER);
    await storeIdempotencyResult(ledger, key, USER, {
      response,
      statusCode: 200,
    });
    const { cachedResponse } = await checkIdempotency(ledger, key, USER);
    assertEquals(cachedResponse?.response, response);
  });
}

for (const response of ["done", "\uFEFF{}", "", '{"order":17}']) {
  Deno.test(`what a single call stored is replayed by a plain operation: ${JSON.stringify(response)}`, async () => {
    const { ledger, key } = bench();
    const config = { scope: "orders", payload: { sku: "A-1" } };
    const { scope: route, payload } = config;
    await createIdempotencyKey(ledger, key, USER, config);
    const result = { response, statusCode: 201 };
    await storeIdempotencyResult(ledger, key, USER, result, config);
    const { status, body, replayed } = await withIdempotency<unknown>(
      { store: ledger, userId: USER, route, key, payload },
      () => Promise.reject(new Error("ran twice")),
    );
    const isJson = response.startsWith("{");
    const told = isJson
      ? { order: 17 }
      : response === ""
      ? undefined
      : response;
    assertEquals([status, body, replayed], [201, told, true]);
  });
}

Deno.test("every error that the calls throw becomes the right response", async () => {
  const down: Ledger = {
    ...memoryLedger(),
    claim: () => Promise.reject(new LedgerUnavailableError("claim", "gone")),
  };
  const client = createClient("http://127.0.0.1:9", "sb_secret_x");
  const create =
    (ledger: Ledger | typeof client, config?: SingleCallConfig) =>
    (key: string) => createIdempotencyKey(ledger, key, USER, config);
  const { ledger, age } = bench();
  const taken = async (key: string) => {
    await create(ledger)(key);
    age(31);
    const claim = await create(ledger)(key);
    await create(ledger)(key).catch(() => {});
    age(31);
    await create(clientOf(ledger))(key);
    await storeIdempotencyResult(ledger, key, USER, RESULT, { claim });
  };
  const cases: [string, (key: string) => Promise<unknown>, unknown][] = [
    ["IDEMPOTENCY_KEY_INVALID", () => create(ledger)("no key"), 400],
    ["REQUEST_IN_PROGRESS", async (key) => {
      await create(ledger)(key);
      await create(ledger)(key);
    }, 409],
    ["IDEMPOTENCY_KEY_REUSED", async (key) => {
      await create(ledger, { payload: 1 })(key);
      await create(ledger, { payload: 2 })(key);
    }, 422],
    ["OUTCOME_UNKNOWN", async (key) => {
      await create(ledger)(key);
      age(31);
      await create(ledger, { onAbandoned: "refuse" })(key);
    }, 409],
    ["RESPONSE_NOT_STORED", async (key) => {
      const config = { keepBody: () => false };
      await create(ledger, config)(key);
      await storeIdempotencyResult(ledger, key, USER, RESULT, config);
      await create(ledger, config)(key);
    }, 409],
    ["LEDGER_UNAVAILABLE", create(down), 503],
    ["KEY_TAKEN_OVER", taken, 409],
    [
      "KEY_NOT_CLAIMED",
      (key) => storeIdempotencyResult(ledger, key, USER, RESULT),
      500,
    ],
    [
      "KEY_NOT_CLAIMED",
      (key) => markIdempotencyFailed(ledger, key, USER, "no"),
      500,
    ],
  ];
  for (const [code, act, status] of cases) {
    const error = await assertRejects(() => act(generateIdempotencyKey()));
    const response = refusalResponse(error, req);
    assertEquals([response.status, (await response.json()).code], [
      status,
      code,
    ]);
  }
  const key = generateIdempotencyKey();
  await create(ledger)(key);
  await storeIdempotencyResult(ledger, key, USER, RESULT);
  const error = await assertRejects(
    () => create(ledger)(key),
    AlreadyCompletedError,
  );
  const replay = refusalResponse(error, req);
  assertEquals(replay.headers.get("x-idempotency-replay"), "true");
  assertEquals([replay.status, await replay.json()], [201, { order: 17 }]);
});

Deno.test("a claim is confirmed through a ledger that is encrypted anew for each call", async () => {
  const ledger = memoryLedger();
  const own = () => encrypted(ledger, { keys: [{ id: "own", secret }] });
  const key = generateIdempotencyKey();
  await checkIdempotency(own(), key, USER);
  await createIdempotencyKey(own(), key, USER);
  await storeIdempotencyResult(own(), key, USER, RESULT);
  const { cachedResponse } = await checkIdempotency(own(), key, USER);
  assertEquals(cachedResponse?.status_code, 201);
});

Deno.test("of those who ask at once, none hears an answer that its own keys do not open", async () => {
  const ledger = memoryLedger();
  const under = (id: string) => encrypted(ledger, { keys: [{ id, secret }] });
  const [own, other] = [under("own"), under("other")];
  const key = generateIdempotencyKey();
  await createIdempotencyKey(own, key, USER);
  await storeIdempotencyResult(own, key, USER, RESULT);
  const told = await Promise.all([
    checkIdempotency(own, key, USER),
    checkIdempotency(other, key, USER),
  ]);
  const statuses = told.map(({ cachedResponse }) =>
    cachedResponse?.status_code
  );
  assertEquals(statuses, [201, 500]);
});

Deno.test("a claim is confirmed through another ledger on the same client", async () => {
  let asked = 0;
  const claimed = { outcome: "claimed", attempt: 1, fence: 1, steps: null };
  const busy = { outcome: "in_progress", retry_after_seconds: 30 };
  const queryRaw = () =>
    Promise.resolve([{ answer: asked++ === 0 ? claimed : busy }]);
  const pool = { queryRaw };
  const key = generateIdempotencyKey();
  await checkIdempotency(postgresLedger(pool), key, USER);
  const { fence } = await createIdempotencyKey(postgresLedger(pool), key, USER);
  assertEquals([fence, asked], [1, 1]);
});

for (
  const [kind, open] of [
    ["", (ledger: Ledger) => ledger],
    [
      ", also where answers are encrypted",
      (ledger: Ledger) =>
        encrypted(ledger, { keys: [{ id: "own", secret }], acceptPlain: true }),
    ],
  ] as const
) {
  Deno.test(`replays are counted where they happened${kind}`, async () => {
    const counts: unknown[][] = [[], []];
    const answer = {
      outcome: "replay",
      status_code: 200,
      response: "{}",
      response_encoding: "text",
      response_headers: {},
    };
    const ledgers = counts.map((seen) =>
      open(postgresLedger({
        queryRaw: (text, values) => {
          if (text.includes("count_replays")) seen.push(values.at(-1));
          return Promise.resolve([{ answer }]);
        },
      }))
    );
    for (const n of [0, 1, 1]) {
      await checkIdempotency(ledgers[n]!, "order-17", "counted");
    }
    await flushReplayCounts();
    assertEquals(counts, [[1], [2]]);
  });
}
