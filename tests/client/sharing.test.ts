import { assert, assertEquals, assertRejects } from "@std/assert";
import { isReplayed, type KeyStorage } from "../../shared/client.ts";
import {
  lost,
  order,
  ORDERS,
  recorded,
  type Scripted,
  scripted,
} from "../support/scripted_fetch.ts";

/** A server that answers when it is told to. */
function waiting() {
  const { promise, resolve } = Promise.withResolvers<Response>();
  let aborted = false;
  const line = (signal: AbortSignal | undefined) => {
    signal?.addEventListener("abort", () => aborted = true);
    return promise;
  };
  return { line, answer: resolve, isAborted: () => aborted };
}

/** However long a busy machine takes for it. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Until so many requests were sent, and so many callers have joined them. */
function underWay(
  { seen, events }: Scripted,
  sent: number,
  joined: number,
): Promise<void> {
  return until(() =>
    seen.length === sent &&
    events.filter(({ type }) => type === "joined").length === joined
  );
}

Deno.test("rapid repeats are sent once, and each caller reads the answer", async () => {
  const { line, answer } = waiting();
  const client = scripted([line]);
  const calls = Array.from({ length: 5 }, () => client.send(ORDERS, order()));
  await underWay(client, 1, 4);
  answer(recorded());
  const responses = await Promise.all(calls);
  assertEquals(
    await Promise.all(responses.map((response) => response.json())),
    Array(5).fill({ order: 1 }),
  );
  assertEquals(client.seen.length, 1);
});

Deno.test("requests that differ are not shared", async () => {
  const { send, seen } = scripted([recorded()]);
  await Promise.all([send(ORDERS, order("1")), send(ORDERS, order("2"))]);
  assertEquals(seen.length, 2);
});

Deno.test("requests under different keys of their callers are not shared", async () => {
  const { send, seen } = scripted([recorded()]);
  await Promise.all(
    ["one", "two"].map((key) =>
      send(ORDERS, order("1", { headers: { "Idempotency-Key": key } }))
    ),
  );
  assertEquals(seen.map(({ key }) => key).sort(), ["one", "two"]);
});

Deno.test("all callers of a request that fails are told, and the next one sends it anew", async () => {
  const { promise, reject } = Promise.withResolvers<Response>();
  const client = scripted([() => promise, recorded()], {
    retry: { attempts: 1 },
  });
  const { send, seen } = client;
  const calls = [1, 2].map(() =>
    assertRejects(() => send(ORDERS, order()), TypeError, "reset")
  );
  await underWay(client, 1, 1);
  reject(lost());
  await Promise.all(calls);
  assertEquals((await send(ORDERS, order())).status, 201);
  assertEquals(seen.length, 2);
});

Deno.test("one caller's signal ends that caller's wait alone", async () => {
  const { line, answer, isAborted } = waiting();
  const client = scripted([line]);
  const { send } = client;
  const controller = new AbortController();
  const { signal } = controller;
  const patient = send(ORDERS, order());
  const hasty = send(ORDERS, order(undefined, { signal }));
  await underWay(client, 1, 1);
  controller.abort(new Error("hasty"));
  await assertRejects(() => hasty, Error, "hasty");
  assert(!isAborted());
  answer(recorded());
  assertEquals((await patient).status, 201);
});

Deno.test("the request ends when its last caller has gone", async () => {
  const { line, isAborted } = waiting();
  const client = scripted([line]);
  const { send } = client;
  const controllers = [new AbortController(), new AbortController()];
  const calls = controllers.map(({ signal }) =>
    send(ORDERS, order(undefined, { signal })).catch(({ message }) => message)
  );
  await underWay(client, 1, 1);
  for (const [n, controller] of controllers.entries()) {
    assert(!isAborted());
    controller.abort(new Error(`${n}`));
    await calls[n];
  }
  assert(isAborted());
  assertEquals(await Promise.all(calls), ["0", "1"]);
});

Deno.test("a request that was given up and ends late does not keep others from sharing", async () => {
  const [old, young] = [waiting(), waiting()];
  const client = scripted([old.line, young.line, recorded()]);
  const { send, seen } = client;
  const controller = new AbortController();
  const { signal } = controller;
  const given = send(ORDERS, order(undefined, { signal }));
  await underWay(client, 1, 0);
  controller.abort();
  await assertRejects(() => given);
  const second = send(ORDERS, order());
  await underWay(client, 2, 0);
  old.answer(recorded());
  // Long enough to do harm; nothing tells when it is over.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const third = send(ORDERS, order());
  await underWay(client, 2, 1);
  young.answer(recorded());
  await Promise.all([second, third]);
  assertEquals(seen.length, 2);
});

Deno.test("what is sent after the answer is another attempt, also while an equal one is under way", async () => {
  const [one, two] = [waiting(), waiting()];
  const client = scripted([one.line, two.line, recorded({ order: 2 })], {
    match: undefined!,
  });
  const { send, seen } = client;
  const first = send(ORDERS, order());
  const second = send(ORDERS, order());
  await underWay(client, 2, 0);
  one.answer(recorded());
  // Either may have been sent first.
  await Promise.race([first, second]);
  assertEquals(await (await send(ORDERS, order())).json(), { order: 2 });
  two.answer(recorded());
  await Promise.all([first, second]);
  assertEquals(seen[1]!.key, seen[0]!.key);
  assert(seen[2]!.key !== seen[0]!.key);
});

for (const [when, sentBefore] of [["with it", 0], ["after it", 1]] as const) {
  Deno.test(`a refusal of one request does not end the attempt of an equal one that was sent ${when}, which may take effect`, async () => {
    const refused = waiting();
    const { promise, reject } = Promise.withResolvers<Response>();
    // Not known yet, so that each is sent.
    const client = scripted([refused.line, () => promise, recorded()], {
      match: undefined!,
    });
    const { send, seen } = client;
    const calls = [send(ORDERS, order())];
    await underWay(client, sentBefore, 0);
    calls.push(send(ORDERS, order()));
    await underWay(client, 2, 0);
    refused.answer(new Response(null, { status: 404 }));
    // Either may have been sent first.
    assertEquals((await Promise.race(calls)).status, 404);
    reject(lost());
    await Promise.allSettled(calls);
    await send(ORDERS, order());
    assertEquals(new Set(seen.map(({ key }) => key)).size, 1);
  });
}

Deno.test("an event stream is handed on as it comes, and ends its attempt with its end", async () => {
  let push!: ReadableStreamDefaultController<Uint8Array>;
  // Without a clone: the script's own would have no address.
  const stream = () =>
    Promise.resolve(
      Object.defineProperty(
        new Response(
          new ReadableStream<Uint8Array>({
            start: (controller) => void (push = controller),
          }),
          { headers: { "Content-Type": "text/event-stream" } },
        ),
        "url",
        { value: ORDERS },
      ),
    );
  const { send, seen, storage } = scripted([stream], {
    retry: { attempts: 1 },
  });
  const read = async () => {
    const response = await send(ORDERS, order());
    assertEquals(response.url, ORDERS);
    return response.body!.getReader();
  };
  const word = new TextEncoder().encode("data: 1\n\n");

  const first = await read();
  push.enqueue(word);
  assertEquals((await first.read()).value, word);
  push.error(lost());
  await assertRejects(() => first.read());

  const second = await read();
  push.close();
  assert((await second.read()).done);
  // No key is kept any more.
  await until(() => storage.getItem("idempotency:") === null);

  await read();
  assertEquals(seen[1]!.key, seen[0]!.key);
  assert(seen[2]!.key !== seen[1]!.key);
});

Deno.test("a signal ends an event stream half-way", async () => {
  const controller = new AbortController();
  const { send } = scripted([() =>
    Promise.resolve(
      new Response(new ReadableStream(), {
        headers: { "Content-Type": "text/event-stream" },
      }),
    )]);
  const { signal } = controller;
  const response = await send(ORDERS, order(undefined, { signal }));
  controller.abort(new Error("enough"));
  await assertRejects(() => response.text(), Error, "enough");
});

Deno.test("a replay can be told from a first answer", async () => {
  const replay = Response.json({}, {
    headers: { "X-Idempotency-Replay": "true" },
  });
  const { send } = scripted([recorded(), replay]);
  assertEquals(isReplayed(await send(ORDERS, order())), false);
  assertEquals(isReplayed(await send(ORDERS, order())), true);
});

/**
 * One store as browsers share it: each tab sees its own writes at once, and the
 * other's a little later, in one order for all.
 */
function tabs(count: number): KeyStorage[] {
  const views = Array.from({ length: count }, () => new Map<string, string>());
  const write = (view: Map<string, string>, name: string, value: string) => {
    view.set(name, value);
    setTimeout(() => views.forEach((each) => each.set(name, value)), 8);
  };
  return views.map((view) => ({
    getItem: (name) => view.get(name) || null,
    setItem: (name, value) => write(view, name, value),
    removeItem: (name) => write(view, name, ""),
  }));
}

for (const isLocked of [true, false]) {
  const how = isLocked ? "with" : "without";
  Deno.test(`two tabs that ask at once use one key, ${how} Web Locks`, async () => {
    const hidden = { value: undefined, configurable: true };
    if (!isLocked) Object.defineProperty(navigator, "locks", hidden);
    try {
      for (let round = 0; round < 10; round++) {
        const clients = tabs(2).map((storage) =>
          scripted([lost()], { storage, retry: { attempts: 1 } })
        );
        await Promise.all(
          clients.map(({ send }) =>
            assertRejects(() => send(ORDERS, order(`${round}`)))
          ),
        );
        const [one, two] = clients.map(({ seen }) => seen[0]!.key);
        assertEquals(one, two);
      }
    } finally {
      if (!isLocked) Reflect.deleteProperty(navigator, "locks");
    }
  });
}
