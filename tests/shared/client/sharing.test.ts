import { assert, assertEquals, assertRejects } from "@std/assert";
import { isReplayed, type KeyStorage } from "../../../shared/client.ts";
import {
  lost,
  order,
  ORDERS,
  recorded,
  scripted,
} from "../../support/scripted_fetch.ts";

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

const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

Deno.test("rapid repeats are sent once, and each caller reads the answer", async () => {
  const { line, answer } = waiting();
  const { send, seen, events } = scripted([line]);
  const calls = Array.from({ length: 5 }, () => send(ORDERS, order()));
  await settled();
  answer(recorded());
  const responses = await Promise.all(calls);
  assertEquals(
    await Promise.all(responses.map((response) => response.json())),
    Array(5).fill({ order: 1 }),
  );
  assertEquals(seen.length, 1);
  assertEquals(events.filter(({ type }) => type === "joined").length, 4);
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
  const { send, seen } = scripted([lost(), recorded()], {
    retry: { attempts: 1 },
  });
  await Promise.all([
    assertRejects(() => send(ORDERS, order()), TypeError, "reset"),
    assertRejects(() => send(ORDERS, order()), TypeError, "reset"),
  ]);
  assertEquals((await send(ORDERS, order())).status, 201);
  assertEquals(seen.length, 2);
});

Deno.test("one caller's signal ends that caller's wait alone", async () => {
  const { line, answer, isAborted } = waiting();
  const { send } = scripted([line]);
  const controller = new AbortController();
  const { signal } = controller;
  const patient = send(ORDERS, order());
  const hasty = send(ORDERS, order(undefined, { signal }));
  await settled();
  controller.abort(new Error("hasty"));
  await assertRejects(() => hasty, Error, "hasty");
  assert(!isAborted());
  answer(recorded());
  assertEquals((await patient).status, 201);
});

Deno.test("the request ends when its last caller has gone", async () => {
  const { line, isAborted } = waiting();
  const { send } = scripted([line]);
  const controllers = [new AbortController(), new AbortController()];
  const calls = controllers.map(({ signal }) =>
    send(ORDERS, order(undefined, { signal })).catch(({ message }) => message)
  );
  await settled();
  for (const [n, controller] of controllers.entries()) {
    assert(!isAborted());
    controller.abort(new Error(`${n}`));
  }
  assert(isAborted());
  assertEquals(await Promise.all(calls), ["0", "1"]);
});

Deno.test("an event stream is handed on as it comes, and ends its attempt with its end", async () => {
  let push!: ReadableStreamDefaultController<Uint8Array>;
  const stream = () =>
    Promise.resolve(
      new Response(
        new ReadableStream<Uint8Array>({
          start: (controller) => void (push = controller),
        }),
        { headers: { "Content-Type": "text/event-stream" } },
      ),
    );
  const { send, seen } = scripted([stream], { retry: { attempts: 1 } });
  const read = async () => (await send(ORDERS, order())).body!.getReader();
  const word = new TextEncoder().encode("data: 1\n\n");

  const first = await read();
  push.enqueue(word);
  assertEquals((await first.read()).value, word);
  push.error(lost());
  await assertRejects(() => first.read());

  const second = await read();
  push.close();
  assert((await second.read()).done);
  await settled();

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

/** One store, seen through another object by each tab, slowly. */
function tabs(count: number): KeyStorage[] {
  const items = new Map<string, string>();
  const soon = () =>
    new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
  return Array.from({ length: count }, () => ({
    async getItem(name) {
      await soon();
      return items.get(name) ?? null;
    },
    async setItem(name, value) {
      await soon();
      items.set(name, value);
    },
    async removeItem(name) {
      await soon();
      items.delete(name);
    },
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
