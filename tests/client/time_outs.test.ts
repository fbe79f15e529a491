import { assert, assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import {
  createApi,
  createIdempotentFetch,
  type Fetch,
  type IdempotentFetchOptions,
  memoryStorage,
} from "../../shared/client.ts";
import {
  lost,
  order,
  ORDERS,
  recorded,
  refused,
  scripted,
} from "../support/scripted_fetch.ts";

/** A connection that never says anything. */
const silent: Fetch = (_, init) =>
  new Promise((_, reject) => {
    const { signal } = init!;
    signal!.addEventListener("abort", () => reject(signal!.reason));
  });

/** A client of a protected function whose connections are as told, the last over and over. */
function through(
  connections: Fetch[],
  { retry, ...options }: IdempotentFetchOptions = {},
) {
  const keys: (string | null)[] = [];
  const send = createIdempotentFetch({
    match: () => true,
    storage: memoryStorage(),
    retry: { baseMs: 1, maxMs: 5, ...retry },
    ...options,
    fetch(input, init) {
      keys.push(new Headers(init?.headers).get("idempotency-key"));
      const at = Math.min(keys.length, connections.length) - 1;
      return connections[at]!(input, init);
    },
  });
  return { send, keys };
}

/** A server that takes its time. */
const slowly = (ms: number): Fetch => (_, init) =>
  new Promise((resolve, reject) => {
    const { signal } = init!;
    const timer = setTimeout(() => resolve(recorded()), ms);
    signal!.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal!.reason);
    });
  });

const answers: Fetch = () => Promise.resolve(recorded());

Deno.test("a try that is silent for too long is lost, and made again under the same key", async () => {
  const { send, keys } = through([silent, silent, answers], {
    retry: { tryMs: 30 },
  });
  assertEquals((await send(ORDERS, order())).status, 201);
  assertEquals([keys.length, new Set(keys).size], [3, 1]);
});

Deno.test("after a try that used the budget up, one more asks for the recorded answer", async () => {
  const { send, keys } = through([silent, answers], {
    retry: { budgetMs: 50 },
  });
  assertEquals((await send(ORDERS, order())).status, 201);
  assertEquals([keys.length, new Set(keys).size], [2, 1]);
});

Deno.test("and no more than one", async () => {
  const { send, keys } = through([silent], { retry: { budgetMs: 40 } });
  await assertRejects(() => send(ORDERS, order()), Error, "No answer for");
  assertEquals(keys.length, 2);
});

Deno.test("a network that lets nothing through is told by a TypeError, a silent one too", async () => {
  const down: Fetch = () => Promise.reject(new TypeError("connection refused"));
  for (const network of [down, silent]) {
    const { send } = through([network], { retry: { budgetMs: 40 } });
    const { apiPost } = createApi({ baseUrl: ORDERS, fetch: send });
    await assertRejects(() => apiPost("", {}), TypeError);
  }
});

Deno.test("without a budget a request is sent once, and is given the time of a try", async () => {
  const retry = { budgetMs: 0 };
  const { send, keys } = through([slowly(50)], { retry });
  assertEquals((await send(ORDERS, order())).status, 201);
  assertEquals(keys.length, 1);
});

Deno.test("a function that works for longer than a try is asked after until it is done", async () => {
  const running: Fetch = () =>
    Promise.resolve(refused(409, "REQUEST_IN_PROGRESS", { retryable: true }));
  const { send, keys } = through(
    [silent, running, running, running, answers],
    { retry: { tryMs: 20, attempts: 2 } },
  );
  assertEquals((await send(ORDERS, order())).status, 201);
  assertEquals(keys.length, 5);
});

Deno.test("the caller's own signal ends the try, and all of it", async () => {
  const caller = new AbortController();
  const gaveUp: Fetch = (...args) => {
    setTimeout(() => caller.abort(new DOMException("I have to go")));
    return silent(...args);
  };
  const { send, keys } = through([gaveUp], { retry: { tryMs: 60_000 } });
  await assertRejects(
    () => send(ORDERS, order("1", { signal: caller.signal })),
    DOMException,
    "I have to go",
  );
  assertEquals(keys.length, 1);
});

Deno.test("an answer that comes slowly, part by part, is not silent", async () => {
  let cut = 0;
  const slow: Fetch = (_, init) => {
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        init!.signal!.addEventListener("abort", () => cut++);
        for (const part of ["{", '"order"', ": 1", "}"]) {
          await new Promise((resolve) => setTimeout(resolve, 300));
          controller.enqueue(new TextEncoder().encode(part));
        }
        controller.close();
      },
    });
    return Promise.resolve(new Response(body, { status: 201 }));
  };
  const { send, keys } = through([slow], { retry: { tryMs: 1000 } });
  assertEquals(await (await send(ORDERS, order())).json(), { order: 1 });
  assertEquals([keys.length, cut], [1, 0]);
});

Deno.test("an answer that falls silent half-way is asked for again", async () => {
  const stuck: Fetch = (_, init) => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"ord'));
        const { signal } = init!;
        signal!.addEventListener(
          "abort",
          () => controller.error(signal!.reason),
        );
      },
    });
    return Promise.resolve(new Response(body, { status: 201 }));
  };
  const { send, keys } = through([stuck, answers], { retry: { tryMs: 30 } });
  assertEquals(await (await send(ORDERS, order())).json(), { order: 1 });
  assertEquals(keys.length, 2);
});

Deno.test("an upload has as long as a slow network needs for it", async () => {
  const late = slowly(120);
  const much = "a".repeat(100_000);
  for (const body of [much, new Blob([much])]) {
    const { send, keys } = through([late], { retry: { tryMs: 20 } });
    assertEquals((await send(ORDERS, order(body))).status, 201);
    assertEquals(keys.length, 1);
  }
});

Deno.test("what is sent once may take its time", async () => {
  const late = slowly(60);
  const retry = { tryMs: 10, budgetMs: 20 };
  for (
    const [body, attempts] of [["1", 1], [new Blob(["1"]).stream(), 6]] as const
  ) {
    const { send } = through([late], { retry: { ...retry, attempts } });
    assertEquals((await send(ORDERS, order(body))).status, 201);
  }
});

Deno.test("the same order in another region, after a lost answer, has the same key", async () => {
  const urls: string[] = [];
  const { send, keys } = through([
    (input) => {
      urls.push(`${input}`);
      return urls.length === 1 ? Promise.reject(lost()) : answers(input);
    },
  ], { retry: { attempts: 1 } });
  const supabase = createClient("http://x", "sb_publishable_x", {
    global: { fetch: send },
    auth: { persistSession: false },
  });
  for (const region of ["us-east-1", "eu-west-1"]) {
    await supabase.functions.invoke("orders", {
      body: { item: 1 },
      region: region as never,
    });
  }
  assertEquals(keys[1], keys[0]);
  const asked = urls.map((url) =>
    new URL(url).searchParams.get("forceFunctionRegion")
  );
  assertEquals(asked, ["us-east-1", "eu-west-1"]);
});

for (const days of [-400, -2, 2, 20_000]) {
  Deno.test(`a device's clock that is set by ${days} days after a lost answer, and back, changes no key and no budget`, async () => {
    const own = Date.now;
    let offset = 0;
    Date.now = () => own() + offset;
    const set: Fetch = () => {
      offset = offset === 0 ? days * 86_400_000 : 0;
      return Promise.reject(lost());
    };
    const { send, keys } = through([set, set, set, set, answers], {
      retry: { attempts: 2 },
    });
    try {
      // Set forth while it is sent, and back; then between two attempts.
      await assertRejects(() => send(ORDERS, order("1")), TypeError);
      offset = days * 86_400_000;
      await assertRejects(() => send(ORDERS, order("1")), TypeError);
      offset = 0;
      await send(ORDERS, order("1"));
    } finally {
      Date.now = own;
    }
    assertEquals([keys.length, new Set(keys).size], [5, 1]);
  });
}

Deno.test("nor does one that was wrong when the key was made, and is put right", async () => {
  const own = Date.now;
  let offset = 0;
  Date.now = () => own() + offset;
  const { send, keys } = through([() => {
    offset = 0;
    return Promise.reject(lost());
  }, answers], { retry: { attempts: 1 } });
  try {
    offset = -3 * 86_400_000;
    await assertRejects(() => send(ORDERS, order("1")), TypeError);
    await send(ORDERS, order("1"));
  } finally {
    Date.now = own;
  }
  assertEquals(keys[1], keys[0]);
});

Deno.test("the default budget is as long as the platform lets a request wait", async () => {
  const { send, waits } = scripted([
    refused(409, "REQUEST_IN_PROGRESS", { retryable: true, retryAfter: "2" }),
  ], { random: () => 0 });
  await send(ORDERS, order());
  const waited = waits.reduce((sum, ms) => sum + ms, 0);
  assert(waited > 140_000 && waited <= 150_000, `${waited}`);
});
