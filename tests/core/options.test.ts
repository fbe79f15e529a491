import { assertEquals, assertRejects } from "@std/assert";
import {
  checkIdempotency,
  createIdempotencyKey,
  encrypted,
  fingerprintRequest,
  generateIdempotencyKey,
  type IdempotencyConfig,
  type IdempotencyEvent,
  type Ledger,
  LedgerUnavailableError,
  memoryLedger,
  type OperationConfig,
  problemResponse,
  redisLedger,
  type SingleCallConfig,
  storeIdempotencyResult,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { route } from "../support/middleware.ts";

// One object configures the three forms: each option does the same in each, or
// is refused there.

/** One request, as each form is given it. */
interface Ask {
  key: string | null;
  payload?: unknown;
  status?: number;
  headers?: Record<string, string>;
  work?: () => Promise<unknown>;
}

/** What became of it. */
interface Seen {
  ran: boolean;
  status: number;
  code?: string;
}

type Form = (config: IdempotencyConfig, ask: Ask) => Promise<Seen>;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function seen(ran: boolean, response: Response): Promise<Seen> {
  const code = (await response.json().catch(() => null))?.code;
  const { status } = response;
  return code === undefined ? { ran, status } : { ran, status, code };
}

const FORMS: Record<string, Form> = {
  async middleware(config, { key, payload, status = 201, headers = {}, work }) {
    let ran = false;
    const ask = route(config, async () => {
      ran = true;
      return Response.json(await work?.() ?? null, { status, headers });
    });
    const response = await ask({
      ...(key === null ? {} : { key }),
      headers,
      body: JSON.stringify(payload ?? null),
    });
    return await seen(ran, response);
  },

  async operation(config, { key, payload, status = 201, headers = {}, work }) {
    let ran = false;
    const outcome = await withIdempotency({
      supabase: memoryLedger(),
      userId: "ada",
      route: "orders",
      key,
      payload,
      ...config as OperationConfig,
    }, async () => {
      ran = true;
      return { status, headers, body: await work?.() ?? null };
    });
    return await seen(ran, Response.json(outcome.body, outcome));
  },

  async calls(config, { key, payload, status = 201, headers = {}, work }) {
    const options = { ...config as SingleCallConfig, payload };
    const args = [UNUSED, key ?? "none", "ada"] as const;
    const { cachedResponse } = await checkIdempotency(...args, options);
    if (cachedResponse !== null) {
      const { response, status_code: status } = cachedResponse;
      return await seen(false, new Response(response, { status }));
    }
    await using claim = await createIdempotencyKey(...args, options);
    const response = await work?.() ?? null;
    await storeIdempotencyResult(
      ...args,
      { response, statusCode: status, headers },
      { ...options, claim },
    );
    return { ran: true, status };
  },
};

// What a form is given beside the option `store`.
const UNUSED = memoryLedger();

interface Bench {
  /** Asks under a key of this bench, on its ledger. */
  ask(config: IdempotencyConfig, more?: Partial<Ask>): Promise<Seen>;
  /** Begins work that hangs until the end of the test. */
  hang(config: IdempotencyConfig): Promise<void>;
  age(seconds: number): void;
  /** The terms of the claims so far. */
  readonly terms: Parameters<Ledger["claim"]>[1][];
  readonly ledger: Ledger;
  readonly key: string;
}

async function withBench(
  form: Form,
  act: (t: Bench) => Promise<unknown>,
): Promise<unknown> {
  let ahead = 0;
  const memory = memoryLedger({ now: () => Date.now() + ahead });
  const terms: Bench["terms"] = [];
  const ledger: Ledger = {
    ...memory,
    claim: (
      identity,
      given,
    ) => (terms.push(given), memory.claim(identity, given)),
  };
  const key = generateIdempotencyKey();
  const hanging: Promise<unknown>[] = [];
  const end = Promise.withResolvers<null>();
  const ask: Bench["ask"] = (config, more = {}) =>
    form({ store: ledger, ...config }, { key, ...more });
  try {
    return await act({
      ask,
      async hang(config) {
        const started = Promise.withResolvers<void>();
        const work = () => (started.resolve(), end.promise);
        hanging.push(ask(config, { work }).catch(() => {}));
        await started.promise;
      },
      age: (seconds) => void (ahead += seconds * 1000),
      terms,
      ledger,
      key,
    });
  } finally {
    end.resolve(null);
    await Promise.all(hanging);
  }
}

/** What an option does, the same in each form that has it. */
interface Row {
  /** Forms that cannot honour the option, and say so. */
  readonly refusedBy?: readonly (keyof typeof FORMS)[];
  /** A value of the right kind, for those. */
  readonly value?: IdempotencyConfig;
  readonly act: (t: Bench) => Promise<unknown>;
  readonly expected: unknown;
}

const RAN = { ran: true, status: 201 };
const REPLAYED = { ran: false, status: 201 };
const refused = (status: number, code: string) => ({
  ran: false,
  status,
  code,
});
const IN_PROGRESS = refused(409, "REQUEST_IN_PROGRESS");

// A field without a row does not pass the type check.
const TABLE: Record<keyof IdempotencyConfig, Row> = {
  scope: {
    refusedBy: ["operation"],
    value: { scope: "orders" },
    act: async ({ ask }) => [
      await ask({ scope: "orders" }),
      await ask({ scope: "refunds" }),
      await ask({ scope: "orders" }),
    ],
    expected: [RAN, RAN, REPLAYED],
  },
  enforcement: {
    refusedBy: ["calls"],
    value: { enforcement: "required" },
    act: ({ ask }) => ask({ enforcement: "required" }, { key: null }),
    expected: refused(400, "IDEMPOTENCY_KEY_MISSING"),
  },
  onConcurrent: {
    async act({ ask }) {
      const config = { onConcurrent: "wait" } as const;
      const started = Promise.withResolvers<void>();
      const work = () => (started.resolve(), sleep(100));
      const first = ask(config, { work });
      await started.promise;
      return [await ask({}), await ask(config), await first];
    },
    expected: [IN_PROGRESS, REPLAYED, RAN],
  },
  waitSeconds: {
    async act({ ask, hang }) {
      await hang({});
      const since = performance.now();
      const answer = await ask({ onConcurrent: "wait", waitSeconds: 1 });
      const seconds = (performance.now() - since) / 1_000;
      return [answer, seconds >= 1 && seconds < 9];
    },
    expected: [IN_PROGRESS, true],
  },
  onAbandoned: {
    async act({ ask, hang, age }) {
      await hang({});
      age(31);
      return [await ask({ onAbandoned: "refuse" }), await ask({})];
    },
    expected: [refused(409, "OUTCOME_UNKNOWN"), RAN],
  },
  leaseSeconds: {
    async act({ ask, hang, age }) {
      await hang({ leaseSeconds: 60 });
      age(45);
      const held = await ask({});
      age(20);
      return [held, await ask({})];
    },
    expected: [IN_PROGRESS, RAN],
  },
  maxRunSeconds: {
    async act({ ask, hang }) {
      await hang({ leaseSeconds: 1, maxRunSeconds: 1 });
      const early = await ask({});
      await sleep(2_300);
      return [early, await ask({})];
    },
    expected: [IN_PROGRESS, RAN],
  },
  maxAttempts: {
    async act({ ask, hang, age }) {
      await hang({});
      age(31);
      return [await ask({ maxAttempts: 1 }), await ask({ maxAttempts: 2 })];
    },
    expected: [refused(409, "OUTCOME_UNKNOWN"), RAN],
  },
  ttlSeconds: {
    async act({ ask, age }) {
      const config = { ttlSeconds: { completed: 600, failed: 60 } };
      const answers = [await ask(config)];
      for (const seconds of [590, 20]) {
        age(seconds);
        answers.push(await ask(config));
      }
      return answers;
    },
    expected: [RAN, REPLAYED, RAN],
  },
  onLedgerDown: {
    async act({ ask, ledger }) {
      const down = () => Promise.reject(new LedgerUnavailableError("ask", ""));
      const store = { ...ledger, claim: down };
      return [
        await ask({ store }),
        await ask({ store, onLedgerDown: "run" }),
        await ask({ store, onLedgerDown: "run" }),
      ];
    },
    expected: [refused(503, "LEDGER_UNAVAILABLE"), RAN, RAN],
  },
  store: {
    async act({ ask, terms }) {
      const answers = [await ask({}), await ask({})];
      return [...answers, terms.length > 0];
    },
    expected: [RAN, REPLAYED, true],
  },
  callers: {
    refusedBy: ["operation", "calls"],
    value: { callers: "project" },
    act: ({ ask }) => ask({ callers: "project" }),
    expected: RAN,
  },
  user: {
    refusedBy: ["operation", "calls"],
    value: { user: () => "grace" },
    async act({ ask }) {
      const user = (req: Request) => req.headers.get("x-user");
      const as = (user: string) => ({ headers: { "x-user": user } });
      return [
        await ask({ user }, as("grace")),
        await ask({ user }, as("linus")),
        await ask({ user }, as("grace")),
        await ask({ user }),
      ];
    },
    expected: [RAN, RAN, REPLAYED, refused(403, "CALLER_UNKNOWN")],
  },
  thirdPartyAuth: {
    async act({ ask, terms }) {
      await ask({ thirdPartyAuth: true });
      await ask({});
      return terms.map(({ thirdParty }) => thirdParty);
    },
    expected: [true, false],
  },
  fingerprint: {
    refusedBy: ["operation", "calls"],
    value: { fingerprint: () => "one" },
    async act({ ask }) {
      const config = { fingerprint: () => "one" };
      await ask(config, { payload: 1 });
      return await ask(config, { payload: 2 });
    },
    expected: REPLAYED,
  },
  key: {
    refusedBy: ["operation", "calls"],
    value: { key: () => "order-17" },
    async act({ ask }) {
      const config = { key: () => "order-17" };
      await ask(config, { key: null });
      return await ask(config, { key: null });
    },
    expected: REPLAYED,
  },
  isFinal: {
    async act({ ask }) {
      const config = { isFinal: (status: number) => status < 300 };
      const no = { status: 404 };
      return [await ask(config, no), await ask(config, no), await ask({}, no)];
    },
    expected: Array(3).fill({ ran: true, status: 404 }),
  },
  keepBody: {
    async act({ ask }) {
      const shown: unknown[] = [];
      const keepBody = (response: Response) => {
        shown.push(response.status, response.headers.get("location"));
        return false;
      };
      const headers = { location: "/orders/17" };
      return [
        await ask({ keepBody }, { headers }),
        await ask({ keepBody }),
        shown,
      ];
    },
    expected: [RAN, refused(409, "RESPONSE_NOT_STORED"), [201, "/orders/17"]],
  },
  metadata: {
    async act({ ask, terms }) {
      await ask({ metadata: { trace: "1" } });
      return terms[0]?.metadata;
    },
    expected: { trace: "1" },
  },
  onEvent: {
    async act({ ask }) {
      const events: IdempotencyEvent[] = [];
      const onEvent = (event: IdempotencyEvent) => void events.push(event);
      for (let n = 0; n < 2; n++) {
        await ask({ onEvent });
        await sleep(10);
      }
      return events.map(({ outcome, attempt, ...rest }) => [
        outcome,
        attempt,
        "error" in rest,
      ]);
    },
    expected: [["executed", 1, false], ["replayed", 0, false]],
  },
};

for (
  const [option, { refusedBy = [], value, act, expected }] of Object.entries(
    TABLE,
  )
) {
  for (const [name, form] of Object.entries(FORMS)) {
    if (refusedBy.includes(name)) {
      Deno.test(`${option} is refused by the form "${name}", which cannot honour it`, async () => {
        await withBench(form, async ({ ask, terms }) => {
          await assertRejects(() => ask(value!), TypeError);
          assertEquals(terms, []);
        });
      });
    } else {
      Deno.test(`${option} does the same in the form "${name}"`, async () => {
        assertEquals(await withBench(form, act), expected);
      });
    }
  }
}

Deno.test("what a form cannot honour is refused by its types as well", async () => {
  const scope = () => "orders";
  // @ts-expect-error: a request's
  const callers: OperationConfig = { callers: "project" };
  // @ts-expect-error: a request's
  const fingerprint: OperationConfig = { fingerprint: () => "one" };
  // @ts-expect-error: the key is given
  const key: OperationConfig = { key: () => "order-17" };
  // @ts-expect-error: the route is given
  const named: OperationConfig = { scope: "orders" };
  // @ts-expect-error: made of a request
  const made: OperationConfig = { metadata: () => ({}) };
  // @ts-expect-error: made of a request
  const scoped: SingleCallConfig = { scope };
  // @ts-expect-error: there is a key in every call
  const enforcement: SingleCallConfig = { enforcement: "required" };
  // @ts-expect-error: a request's
  const called: SingleCallConfig = { callers: "project" };
  // @ts-expect-error: a request's
  const printed: SingleCallConfig = { fingerprint: () => "one" };
  // @ts-expect-error: the key is given
  const keyed: SingleCallConfig = { key: () => "order-17" };
  // @ts-expect-error: made of a request
  const noted: SingleCallConfig = { metadata: () => ({}) };

  const context = {
    store: memoryLedger(),
    userId: "ada",
    route: "orders",
    key: "order-17",
  };
  const run = () => Promise.resolve({ status: 200, body: null });
  for (const config of [callers, fingerprint, named, made]) {
    await assertRejects(
      () => withIdempotency({ ...context, ...config }, run),
      TypeError,
    );
  }
  const asked = [scoped, enforcement, called, printed, keyed, noted];
  for (const config of asked) {
    await assertRejects(
      () => checkIdempotency(UNUSED, "order-17", "ada", config),
      TypeError,
    );
  }
  void key;
});

// Strict projects (exactOptionalPropertyTypes) tell what is left out from what
// is undefined; whoever hands on what he was given has the latter.
Deno.test("what may be left out may be undefined", async () => {
  const none = undefined;
  const store = encrypted(memoryLedger({ now: none }), {
    keys: [{ id: "k1", secret: new Uint8Array(32) }],
    acceptPlain: none,
  });
  redisLedger(() => Promise.resolve([]), { prefix: none, timeoutMs: none });
  const context = { store, userId: "ada", route: "undefined", key: "order-17" };
  const { body } = await withIdempotency(context, async ({ step }) => {
    const charged = await step("charge", () => 17, { parse: none });
    return { status: 201, body: charged, headers: none };
  });
  assertEquals(body, 17);

  const single = { scope: "undefined-single" };
  await createIdempotencyKey(store, "order-17", "ada", single);
  const result = { response: "done", statusCode: 201, headers: none };
  await storeIdempotencyResult(store, "order-17", "ada", result, single);

  const options = {
    ignoreQuery: none,
    ignoreFields: none,
    onlyFields: none,
    headers: none,
  };
  const request = () => new Request("http://localhost/orders");
  assertEquals(
    await fingerprintRequest(request(), options),
    await fingerprintRequest(request()),
  );

  const problem = { status: 404, code: "NOT_FOUND", title: "", detail: "" };
  const { headers } = problemResponse({
    ...problem,
    retryable: none,
    instance: none,
    headers: none,
    extensions: none,
  });
  assertEquals(headers.get("content-type"), "application/problem+json");
});
