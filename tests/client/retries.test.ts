import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Line,
  lost,
  order,
  ORDERS,
  recorded,
  refused,
  scripted,
} from "../support/scripted_fetch.ts";

const KEY_USED = refused(422, "IDEMPOTENCY_KEY_REUSED", { retryable: false });
const RUNNING = refused(409, "REQUEST_IN_PROGRESS", {
  retryable: true,
  retryAfter: "2",
});

for (
  const [what, line] of [
    ["an error of the network", lost()],
    ["408", new Response("", { status: 408 })],
    ["429", refused(429, "TOO_MANY_KEYS", { retryable: true })],
    ["429 without a document", new Response("", { status: 429 })],
    ["500", new Response("", { status: 500 })],
    ["503", refused(503, "LEDGER_UNAVAILABLE", { retryable: true })],
    ["504 in HTML", new Response("<h1>Gateway</h1>", { status: 504 })],
    ["409 of a running request", RUNNING],
    [
      "409 without a document that says when to come back",
      new Response("", {
        status: 409,
        headers: { "Retry-After": "1" },
      }),
    ],
    [
      "409 in the other style",
      Response.json({
        success: false,
        error: { code: "REQUEST_IN_PROGRESS", message: "Still running" },
      }, { status: 409 }),
    ],
    ["400 that says it is retryable", refused(400, "X", { retryable: true })],
    ["an answer that breaks off half-way", () => Promise.resolve(broken())],
  ] as [string, Line][]
) {
  Deno.test(`${what} is sent again under the same key`, async () => {
    const { send, seen, waits } = scripted([line, line, recorded()]);
    const response = await send(ORDERS, order());
    assertEquals(response.status, 201);
    assertEquals(await response.json(), { order: 1 });
    assertEquals(seen.length, 3);
    assertEquals(new Set(seen.map(({ key }) => key)).size, 1);
    assertEquals(
      new Set(seen.map(({ body }) => body)),
      new Set(['{"item":1}']),
    );
    assertEquals(waits.length, 2);
  });
}

for (
  const [what, line] of [
    ["200", Response.json({})],
    ["302", new Response(null, { status: 302 })],
    ["400", refused(400, "REQUEST_INVALID", { retryable: false })],
    ["401", new Response("", { status: 401 })],
    ["403", new Response("", { status: 403 })],
    ["404", new Response("", { status: 404 })],
    ["422 of a key used for another request", KEY_USED],
    ["425", new Response("", { status: 425 })],
    [
      "409 of an unknown outcome",
      refused(409, "OUTCOME_UNKNOWN", {
        retryable: false,
      }),
    ],
    [
      "409 that is a question",
      refused(409, "CREDIT_CONFIRMATION_REQUIRED", {
        retryable: false,
      }),
    ],
    [
      "409 of a conflict of the function's own",
      new Response("", {
        status: 409,
      }),
    ],
    [
      "503 that says it is not retryable",
      refused(503, "X", {
        retryable: false,
      }),
    ],
    ["500 that the server has recorded", recorded({}, 500)],
  ] as [string, Response][]
) {
  Deno.test(`${what} is not sent again`, async () => {
    const { send, seen } = scripted([line]);
    const response = await send(ORDERS, order());
    assertEquals([response.status, seen.length], [line.status, 1]);
  });
}

Deno.test("the last answer is handed on when the attempts are used up", async () => {
  const down = refused(503, "LEDGER_UNAVAILABLE", { retryable: true });
  const { send, seen } = scripted([down], { retry: { attempts: 3 } });
  const response = await send(ORDERS, order());
  assertEquals([response.status, seen.length], [503, 3]);
  assertEquals((await response.json()).code, "LEDGER_UNAVAILABLE");
});

Deno.test("the last error of the network is thrown when the attempts are used up", async () => {
  const { send, seen } = scripted([lost()], { retry: { attempts: 3 } });
  await assertRejects(() => send(ORDERS, order()), TypeError, "reset");
  assertEquals(seen.length, 3);
});

Deno.test("with one attempt a request is sent once, also while it runs or there is no budget", async () => {
  for (
    const retry of [{ attempts: 1 }, { attempts: 9, budgetMs: 0 }]
  ) {
    const { send, seen } = scripted([RUNNING], { retry });
    assertEquals((await send(ORDERS, order())).status, 409);
    assertEquals(seen.length, 1);
    const cut = scripted([lost()], { retry, random: () => 0 });
    await assertRejects(() => cut.send(ORDERS, order()));
    assertEquals(cut.seen.length, 1);
  }
});

Deno.test("waits double, from half of the base on, up to half of the bound", async () => {
  const { send, waits } = scripted([lost()], {
    retry: { attempts: 6, baseMs: 100, maxMs: 500 },
  });
  await assertRejects(() => send(ORDERS, order()));
  assertEquals(waits, [50, 100, 200, 250, 250]);
});

Deno.test("Retry-After is kept to, with some more so that clients come back apart", async () => {
  const { send, waits } = scripted(
    [refused(503, "DOWN", { retryAfter: "3" }), recorded()],
    { retry: { baseMs: 100, maxMs: 200 } },
  );
  await send(ORDERS, order());
  assertEquals(waits, [3050]);
});

Deno.test("a wait that would go beyond the budget is not begun", async () => {
  const { send, seen, waits } = scripted(
    [refused(429, "TOO_MANY_KEYS", { retryable: true, retryAfter: "3600" })],
  );
  const response = await send(ORDERS, order());
  assertEquals([response.status, seen.length, waits.length], [429, 1, 0]);
});

Deno.test("a running request is asked after beyond the attempts, within the budget", async () => {
  const { send, seen, waits } = scripted([RUNNING], {
    random: () => 0,
    retry: { attempts: 2, budgetMs: 21_000 },
  });
  assertEquals((await send(ORDERS, order())).status, 409);
  assertEquals(seen.length, 11);
  assertEquals(waits.reduce((sum, ms) => sum + ms, 0), 20_000);
});

Deno.test("an aborted signal ends the request while it waits, with the signal's reason", async () => {
  const controller = new AbortController();
  const { send, seen } = scripted([lost()], {
    pause(_, signal) {
      queueMicrotask(() => controller.abort(new Error("changed my mind")));
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    },
  });
  await assertRejects(
    () => send(ORDERS, order(undefined, { signal: controller.signal })),
    Error,
    "changed my mind",
  );
  assertEquals(seen.length, 1);
});

Deno.test("an aborted signal ends the request while it is sent, and reaches fetch", async () => {
  const controller = new AbortController();
  let reached: AbortSignal | undefined;
  const { send, seen } = scripted([(signal) => {
    reached = signal;
    controller.abort();
    return Promise.reject(lost());
  }]);
  const error = await assertRejects(
    () => send(ORDERS, order(undefined, { signal: controller.signal })),
    DOMException,
  );
  assertEquals([error.name, seen.length], ["AbortError", 1]);
  assert(reached?.aborted);
});

Deno.test("a signal that is aborted beforehand keeps the request from being sent", async () => {
  const { send, seen } = scripted([recorded()]);
  const signal = AbortSignal.abort();
  await assertRejects(() => send(ORDERS, order(undefined, { signal })));
  await assertRejects(() => send(new Request(ORDERS, order("1", { signal }))));
  assertEquals(seen, []);
});

Deno.test("a stream is sent once, under a key", async () => {
  const { send, seen, waits } = scripted([lost(), recorded()]);
  const body = new Blob(["once"]).stream();
  await assertRejects(
    () => send(ORDERS, { ...order(body), duplex: "half" } as RequestInit),
    TypeError,
  );
  assertEquals(seen.map(({ body }) => body), ["once"]);
  assertEquals(waits, []);
  assert(seen[0]!.key);
});

Deno.test("nothing is sent in place of what breaks off while it is read", async () => {
  const { send, seen } = scripted([recorded()]);
  async function* parts() {
    yield new TextEncoder().encode("half");
    await Promise.reject(new Error("disk"));
  }
  const body = parts() as unknown as BodyInit;
  await assertRejects(
    () => send(ORDERS, { ...order(body), duplex: "half" } as RequestInit),
    Error,
    "disk",
  );
  assertEquals(seen.filter(({ body }) => body !== "half"), []);
});

Deno.test("who listens and throws keeps nobody from the answer", async () => {
  const own = console.error;
  const said: unknown[] = [];
  console.error = (cause) => said.push(cause);
  const mine = new Error("mine");
  try {
    for (
      const onAttempt of [
        () => {
          throw mine;
        },
        // Taken where nothing is expected.
        () => Promise.reject(mine) as unknown as void,
      ]
    ) {
      const { send, seen } = scripted([lost(), recorded()], { onAttempt });
      assertEquals((await send(ORDERS, order())).status, 201);
      assertEquals(seen.length, 2);
    }
  } finally {
    console.error = own;
  }
  assertEquals(said, Array(10).fill(mine));
});

Deno.test("no listener is left on a signal that outlives the request", async () => {
  const { signal } = new AbortController();
  let left = 0;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    left++;
    add(...given);
  };
  const remove = signal.removeEventListener.bind(signal);
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    left--;
    remove(...given);
  };
  for (const match of [undefined!, () => true]) {
    const { send } = scripted([() => Promise.resolve(Response.json({}))], {
      match,
    });
    await send(ORDERS, order("1", { signal }));
    assertEquals(left, 0);
  }
});

Deno.test("each step of an attempt is told", async () => {
  const { send, seen, events } = scripted([lost(), recorded()]);
  await send(ORDERS, order());
  const { key } = seen[0]!;
  assertEquals(
    events.map(({ type, count, status, delayMs, key: told }) => {
      assertEquals(told, key!);
      return [type, count, status ?? delayMs];
    }),
    [
      ["sent", 1, undefined],
      ["failed", 1, undefined],
      ["waiting", 1, 250],
      ["sent", 2, undefined],
      ["answered", 2, 201],
    ],
  );
});

/** An answer whose connection breaks off in its body. */
function broken(): Response {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"ord'));
      queueMicrotask(() => controller.error(lost()));
    },
  });
  return new Response(body, { status: 201 });
}
