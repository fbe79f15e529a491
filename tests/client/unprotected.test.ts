import { assert, assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import {
  createIdempotentFetch,
  type Fetch,
  idempotencyKeyOf,
  type IdempotentFetchOptions,
  isReplayed,
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
import {
  type TwoFunctions,
  twoFunctions,
  type Wanted,
} from "../support/two_functions.ts";

const QUICK = { baseMs: 1, maxMs: 5 };

function client(options: IdempotentFetchOptions = {}) {
  return createIdempotentFetch({
    storage: memoryStorage(),
    retry: QUICK,
    ...options,
  });
}

const post = (wanted: Wanted): RequestInit => ({
  method: "POST",
  body: JSON.stringify(wanted),
});

/** What a caller learns of a call: the status, or that there was no answer. */
async function outcome(call: Promise<Response>): Promise<string> {
  try {
    const response = await call;
    await response.body?.cancel();
    return `${response.status}`;
  } catch (error) {
    return (error as Error).name;
  }
}

for (
  const [what, wanted, times] of [
    ["answers 500 after its insert", { status: 500 }, 1],
    ["answers 503 after its insert", { status: 503 }, 1],
    ["answers 429 after its insert", { status: 429 }, 1],
    ["answers 201", { status: 201 }, 1],
    ["loses its answer", { drops: true }, 1],
    ["is called twice at once", { takesMs: 20 }, 2],
    ["fails twice at once", { status: 500, takesMs: 20 }, 2],
  ] as [string, Wanted, number][]
) {
  Deno.test(`an unprotected function that ${what} is called as often as without the client`, async () => {
    const learn = async (send: Fetch) => {
      await using functions = await twoFunctions();
      const calls = Array.from(
        { length: times },
        () => outcome(send(`${functions.url}/unprotected`, post(wanted))),
      );
      const outcomes = await Promise.all(calls);
      // And so again: nothing was learnt that should not have been.
      outcomes.push(
        await outcome(send(`${functions.url}/unprotected`, post(wanted))),
      );
      return { outcomes, rows: functions.rows("unprotected") };
    };
    assertEquals(await learn(client()), await learn(fetch));
  });
}

Deno.test("what supabase.functions.invoke() calls is no exception", async () => {
  await using functions = await twoFunctions();
  const supabase = createClient(
    new URL(functions.url).origin,
    "sb_publishable_x",
    {
      global: { fetch: client() },
      auth: { persistSession: false },
    },
  );
  const { error } = await supabase.functions.invoke("unprotected", {
    body: { status: 500 },
  });
  assertEquals(error.context.status, 500);
  assertEquals(functions.seen, ["POST unprotected +key"]);
});

Deno.test("the answer of an unprotected function is handed on as it comes, and as slowly", async () => {
  await using functions = await twoFunctions();
  const send = client({ retry: { ...QUICK, tryMs: 10, budgetMs: 20 } });
  const url = `${functions.url}/unprotected`;
  const response = await send(url, post({ streams: true, takesMs: 60 }));
  const reader = response.body!.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "one ");
  functions.finish();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "two");
  assertEquals(functions.rows("unprotected"), 1);
});

Deno.test("so is its error, however long that takes to end", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => {
      const start = (controller: ReadableStreamDefaultController) =>
        controller.enqueue(new TextEncoder().encode("told bit by bit"));
      return new Response(new ReadableStream({ start }), { status: 500 });
    },
  );
  const send = createIdempotentFetch({ storage: memoryStorage() });
  const url = `http://127.0.0.1:${server.addr.port}/functions/v1/talk`;
  const response = await send(url, {
    method: "POST",
    signal: AbortSignal.timeout(5000),
  });
  assertEquals(response.status, 500);
  await response.body!.cancel();
  await server.shutdown();
});

Deno.test("the first request to a protected function has a key: sent by hand after a lost answer, it gets that", async () => {
  await using functions = await twoFunctions();
  const send = client();
  const call = () => send(`${functions.url}/protected`, post({ loses: 1 }));
  await assertRejects(call, TypeError);
  assert(isReplayed(await call()));
  assertEquals(functions.rows("protected"), 1);
});

Deno.test("once a function has shown that it is protected, a lost answer is asked for again", async () => {
  await using functions = await twoFunctions();
  const send = client();
  const call = (wanted: Wanted) =>
    send(`${functions.url}/protected`, post(wanted));
  assertEquals(await outcome(call({})), "201");
  const answer = await call({ loses: 3 });
  assert(isReplayed(answer));
  assertEquals(await answer.json(), { row: 2 });
  assertEquals(functions.seen.length, 5);
});

Deno.test("a function that match lists is asked again from the first request on", async () => {
  await using functions = await twoFunctions();
  const send = client({ match: ({ url }) => url.endsWith("/protected") });
  const answer = await send(`${functions.url}/protected`, post({ loses: 3 }));
  assert(isReplayed(answer));
  assertEquals(functions.rows("protected"), 1);
});

Deno.test("five fast clicks on a function that is not known yet make one row, and all get its answer", async () => {
  for (const takesMs of [0, 40]) {
    await using functions = await twoFunctions();
    const { promise: allSent, resolve } = Promise.withResolvers<void>();
    let sent = 0;
    const send = client({
      onAttempt({ type, count }) {
        if (type === "sent" && count === 1 && ++sent === 5) resolve();
      },
      // Else a busy machine has the first answer before the fifth click.
      fetch: (input, init) => allSent.then(() => fetch(input, init)),
    });
    const calls = Array.from(
      { length: 5 },
      () => send(`${functions.url}/protected`, post({ takesMs })),
    );
    const answers = await Promise.all(calls);
    assertEquals(
      await Promise.all(answers.map((answer) => answer.json())),
      Array(5).fill({ row: 1 }),
    );
    // The next click is another intention.
    const next = await send(`${functions.url}/protected`, post({ takesMs }));
    assertEquals(await next.json(), { row: 2 });
  }
});

for (
  const [what, answer] of [
    ["has recorded", recorded({}, 500)],
    [
      "has recorded before",
      Response.json({}, {
        headers: { "X-Idempotency-Replay": "true" },
      }),
    ],
    ["refuses for its key", refused(400, "IDEMPOTENCY_KEY_INVALID")],
    ["refuses for another payload", refused(422, "IDEMPOTENCY_KEY_REUSED")],
    ["has not kept", refused(409, "RESPONSE_NOT_STORED")],
  ] as [string, Response][]
) {
  Deno.test(`an answer that a function ${what} shows that it is protected`, async () => {
    const { send, seen } = scripted([answer, lost(), recorded()], {
      match: undefined!,
    });
    await send(ORDERS, order("1"));
    assertEquals((await send(ORDERS, order("2"))).status, 201);
    assertEquals(seen.length, 3);
  });
}

for (const code of ["REQUEST_IN_PROGRESS", "LEDGER_UNAVAILABLE"]) {
  Deno.test(`an answer ${code} shows it too, and is asked again at once`, async () => {
    const status = code === "REQUEST_IN_PROGRESS" ? 409 : 503;
    const { send, seen } = scripted([refused(status, code), recorded()], {
      match: undefined!,
    });
    assertEquals((await send(ORDERS, order())).status, 201);
    assertEquals(seen[1]!.key, seen[0]!.key);
  });
}

for (
  const [what, answer] of [
    [
      "its CORS headers",
      new Response("", {
        headers: { "Access-Control-Expose-Headers": "X-Idempotency-Replay" },
      }),
    ],
    [
      "what it hands on of another function",
      Response.json({ code: "REQUEST_IN_PROGRESS", retryable: true }, {
        status: 409,
      }),
    ],
    ["a conflict of its own", refused(409, "CONFLICT", { retryAfter: "1" })],
    [
      "a failure that says it is retryable",
      refused(503, "X", {
        retryable: true,
      }),
    ],
  ] as [string, Response][]
) {
  Deno.test(`${what} shows nothing`, async () => {
    const { send, seen } = scripted([answer, lost(), recorded()], {
      match: undefined!,
    });
    await send(ORDERS, order("1"));
    await assertRejects(() => send(ORDERS, order("2")), TypeError);
    assertEquals(seen.length, 2);
  });
}

Deno.test("what one path has shown holds for it and this method, whatever ids are in it", async () => {
  const { send, seen } = scripted([recorded(), lost()], { match: undefined! });
  const id = "0f0e0d0c-1111-4222-8333-444455556666";
  await send(`${ORDERS}/17/lines/${id}`, order());
  const tries = async (url: string, method: string) => {
    const before = seen.length;
    await send(url, order("2", { method })).catch(() => {});
    return seen.length - before;
  };
  // One in forty begins with eight digits, as if that were the id.
  const other = `${ORDERS}/18/lines/12345678-1111-4222-8333-444455556666`;
  assertEquals(await tries(`${ORDERS}/18/lines`, "POST"), 1);
  assertEquals(await tries(`${other}-copy`, "POST"), 1);
  assertEquals(await tries(`${ORDERS}2/18/lines/${id}`, "POST"), 1);
  assertEquals(await tries(other, "PUT"), 1);
  assertEquals(await tries(other, "POST"), 6);
});

Deno.test("a function that answers unmarked is not taken for protected any more", async () => {
  const { send, seen } = scripted(
    [recorded(), Response.json({}), lost()],
    { match: undefined! },
  );
  await send(ORDERS, order("1"));
  await send(ORDERS, order("2"));
  await assertRejects(() => send(ORDERS, order("3")));
  assertEquals(seen.length, 3);
});

/** Calls as from a page of this origin. */
async function from<T>(origin: string, action: () => Promise<T>): Promise<T> {
  const own = Object.getOwnPropertyDescriptor(globalThis, "location")!;
  Object.defineProperty(globalThis, "location", {
    value: new URL(origin),
    configurable: true,
  });
  try {
    return await action();
  } finally {
    Object.defineProperty(globalThis, "location", own);
  }
}

/** A network on which each request meets with a fate, and no browser in between. */
function fated(fates: Record<string, (Response | Error)[]>) {
  const seen: string[] = [];
  const send = client({
    async fetch(input, init) {
      const { method, headers } = new Request(input, init);
      const name = `${method}${headers.has("idempotency-key") ? " +key" : ""}`;
      seen.push(name);
      const fate = fates[name]!.shift()!;
      if (fate instanceof Error) throw fate;
      return await Promise.resolve(fate);
    },
  });
  return { send, seen };
}

const ok = () => new Response("ok");

Deno.test("a lost preflight is not believed the first time", async () => {
  await from("http://shop", async () => {
    const { send, seen } = fated({
      "OPTIONS +key": [lost(), ok()],
      "POST": [ok()],
      "POST +key": [ok()],
    });
    const warn = console.warn;
    console.warn = () => {};
    try {
      await send(ORDERS, order());
      await send(ORDERS, order());
    } finally {
      console.warn = warn;
    }
    assertEquals(seen, ["OPTIONS +key", "POST", "OPTIONS +key", "POST +key"]);
  });
});

Deno.test("where the network lets nothing through, nothing is learnt and nothing said", async () => {
  await from("http://shop", async () => {
    const { send, seen } = fated({
      "OPTIONS +key": [lost(), lost(), ok()],
      "POST": [lost(), lost()],
      "POST +key": [recorded()],
    });
    await assertRejects(() => send(ORDERS, order()), TypeError, "reset");
    await assertRejects(() => send(ORDERS, order()), TypeError, "reset");
    assert(idempotencyKeyOf(await send(ORDERS, order())));
    assertEquals(seen.length, 6);
  });
});

Deno.test("nor where two requests at once meet with no network", async () => {
  const seen: string[] = [];
  const send = client({
    async fetch(input, init) {
      const { method, headers } = new Request(input, init);
      seen.push(method);
      // Both ask, and then both are sent.
      const both = method === "OPTIONS" ? 2 : 4;
      while (seen.length < both) await new Promise((done) => setTimeout(done));
      if (seen.length < 5 || headers.has("idempotency-key")) throw lost();
      return ok();
    },
  });
  const warn = console.warn;
  console.warn = () => {};
  try {
    await from("http://shop", async () => {
      const calls = ["1", "2"].map((body) =>
        outcome(send(ORDERS, order(body)))
      );
      assertEquals(await Promise.all(calls), ["TypeError", "TypeError"]);
      assertEquals(await outcome(send(ORDERS, order("3"))), "200");
    });
  } finally {
    console.warn = warn;
  }
});

for (const where of ["in one tab", "in two tabs"]) {
  Deno.test(`pressed twice ${where} while it asks whether a key is let in, it takes effect once`, async () => {
    await from("http://shop", async () => {
      const answered = Promise.withResolvers<void>();
      let asked = 0;
      const keys = new Set<string | null>();
      const options: IdempotentFetchOptions = {
        storage: memoryStorage(),
        async fetch(input, init) {
          const { method, headers } = new Request(input, init);
          // Who asks second learns it when the other has its answer.
          if (method === "OPTIONS" && ++asked === 2) await answered.promise;
          if (method === "OPTIONS") return ok();
          keys.add(headers.get("idempotency-key"));
          await new Promise((done) => setTimeout(done, 100));
          return recorded();
        },
      };
      const tab = client(options);
      const other = where === "in one tab" ? tab : client(options);
      const presses = [tab, other].map((send) => send(ORDERS, order()));
      await presses[0];
      setTimeout(answered.resolve);
      await presses[1];
      assertEquals(keys.size, 1);
    });
  });
}

Deno.test("a page that was left while it asked has sent nothing under a key", async () => {
  const storage = memoryStorage();
  await from("http://shop", async () => {
    const asks = Promise.withResolvers<void>();
    const left = client({
      storage,
      fetch: () => {
        asks.resolve();
        return new Promise(() => {});
      },
    });
    left(ORDERS, order());
    await asks.promise;
    const next = client({
      storage,
      async fetch(input, init) {
        const { headers } = new Request(input, init);
        if (headers.has("idempotency-key")) throw lost();
        return await Promise.resolve(ok());
      },
    });
    const warn = console.warn;
    console.warn = () => {};
    try {
      assertEquals(await outcome(next(ORDERS, order())), "200");
    } finally {
      console.warn = warn;
    }
  });
});

Deno.test("what may have been sent under a key is not sent without it", async () => {
  await from("http://shop", async () => {
    const { send, seen } = fated({
      "OPTIONS +key": [ok(), lost()],
      "POST +key": [lost(), lost()],
    });
    await assertRejects(() => send(ORDERS, order()));
    await assertRejects(() => send(ORDERS, order()));
    assertEquals(seen, ["OPTIONS +key", "POST +key", "POST +key"]);
  });
});

Deno.test("an attempt held in the hands goes out without a key where none is let in, again and again", async () => {
  await using functions: TwoFunctions = await twoFunctions();
  const asked: string[] = [];
  const strict = client({
    fetch(input, init) {
      const { method, headers } = new Request(input, init);
      asked.push(method);
      return headers.has("idempotency-key")
        ? Promise.reject(new TypeError("blocked by CORS"))
        : fetch(input, init);
    },
  });
  const warn = console.warn;
  const said: string[] = [];
  console.warn = (text: string) => said.push(text);
  try {
    await from("http://shop", async () => {
      const url = `${functions.url}/unprotected`;
      const attempt = await strict.attempt(url, post({}));
      for (const _ of [1, 2, 3]) {
        assertEquals(await outcome(attempt.send()), "201");
      }
    });
  } finally {
    console.warn = warn;
  }
  assertEquals(asked, ["OPTIONS", "POST", "OPTIONS", "POST", "POST"]);
  assertEquals(said.length, 1);
  assertEquals(functions.rows("unprotected"), 3);
});
