import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type IdempotencyEvent,
  LeaseLostError,
  LedgerUnavailableError,
  memoryLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { route } from "../support/middleware.ts";

const operation = () => ({
  store: memoryLedger(),
  userId: "ada",
  route: "orders",
  key: "order-17",
});

// Each of these ended in a key that was renewed without end.

Deno.test("an operation whose result has no JSON form leaves a key that runs again", async () => {
  const context = operation();
  await assertRejects(
    () =>
      withIdempotency(
        context,
        () => Promise.resolve({ status: 200, body: 10n as unknown }),
      ),
    TypeError,
  );
  const retry = await withIdempotency(
    context,
    ({ attempt }) => Promise.resolve({ status: 200, body: attempt }),
  );
  assertEquals(retry.body, 2);
});

for (const status of [99, 101, 700, 201.5, NaN]) {
  Deno.test(`an operation whose status is ${status} is told so, and leaves a key that runs again`, async () => {
    const context = operation();
    await assertRejects(
      () =>
        withIdempotency(context, () => Promise.resolve({ status, body: 1 })),
      TypeError,
      `an integer from 200 to 599, got ${status}`,
    );
    const retry = await withIdempotency(
      context,
      ({ attempt }) => Promise.resolve({ status: 200, body: attempt }),
    );
    assertEquals(retry.body, 2);
  });
}

Deno.test("an isFinal that throws leaves a key that runs again, in both forms", async () => {
  const store = memoryLedger();
  const isFinal = () => {
    throw new RangeError("no rule for this status");
  };
  const shared = { store, userId: "ada", route: "orders", key: "order-18" };
  const run = () => Promise.resolve({ status: 200, body: 1 });
  await assertRejects(
    () => withIdempotency({ ...shared, isFinal }, run),
    RangeError,
  );
  assertEquals((await withIdempotency(shared, run)).status, 200);

  const throwing = route({ store, isFinal }, () => new Response("done"));
  await assertRejects(() => throwing({ key: "order-19" }), RangeError);
  const again = route(
    { store },
    ({ attempt }) => new Response(`attempt ${attempt}`),
  );
  assertEquals(await (await again({ key: "order-19" })).text(), "attempt 2");
});

const KEY = "order-20";

const unanswerable: Record<string, Parameters<typeof route>[1]> = {
  "a stream that somebody else reads": ({ streamed }) => {
    const response = new Response("rows");
    response.body!.getReader();
    return streamed(response);
  },
  "nothing": (() => undefined) as never,
  "Response.error()": () => Response.error(),
  "what has no text, thrown": () => {
    throw Object.create(null);
  },
};
for (const [what, handler] of Object.entries(unanswerable)) {
  Deno.test(`a handler that answers with ${what} leaves a key that runs again`, async () => {
    const store = memoryLedger();
    await assertRejects(() => route({ store }, handler)({ key: KEY }));
    const again = route({ store }, ({ attempt }) => Response.json(attempt));
    assertEquals(await (await again({ key: KEY })).json(), 2);
  });
}

Deno.test("a background part that ends in Response.error() leaves a key that runs again", async () => {
  const store = memoryLedger();
  const later = route(
    { store },
    ({ finishLater }) =>
      finishLater(new Response(), () => Promise.resolve(Response.error())),
  );
  await later({ key: KEY });
  const again = route(
    { store, onConcurrent: "wait" },
    ({ attempt }) => Response.json(attempt),
  );
  assertEquals(await (await again({ key: KEY })).json(), 2);
});

Deno.test("a handler that would finish later twice is told so, and none of the work is lost", async () => {
  const store = memoryLedger();
  let works = 0;
  const work = () => Promise.resolve(Response.json(++works));
  const twice = route({ store }, ({ finishLater }) => {
    finishLater(new Response(), work);
    return finishLater(new Response(), work);
  });
  await assertRejects(
    () => twice({ key: KEY }),
    TypeError,
    "put both into one",
  );
  const again = route(
    { store },
    ({ attempt }) => Response.json([attempt, works]),
  );
  assertEquals(await (await again({ key: KEY })).json(), [2, 0]);
});

// A worker that froze, and woke when another had answered and kept no body.
function overtaken() {
  let ahead = 0;
  const store = memoryLedger({ now: () => Date.now() + ahead });
  const config = { store, keepBody: () => false };
  const headers = { Location: "/orders/17" };
  return {
    config,
    headers,
    async freeze(run: () => Promise<unknown>) {
      ahead += 60_000;
      await run();
    },
  };
}

Deno.test("a handler that throws when another attempt has answered is told so, even where no body was kept", async () => {
  const { config, headers, freeze } = overtaken();
  const other = route(config, () => new Response("secret", { headers }));
  const late = route(config, async ({ step }) => {
    await freeze(() => other({ key: KEY }));
    await step("charge", () => 1);
    return new Response("unreachable");
  });
  const answer = await late({ key: KEY });
  assertEquals(answer.status, 409);
  assertEquals(answer.headers.get("location"), "/orders/17");
  assertEquals((await answer.json()).code, "RESPONSE_NOT_STORED");
});

Deno.test("an operation that throws when another attempt has answered is told so, even where no body was kept", async () => {
  const { config, headers, freeze } = overtaken();
  const context = { ...config, userId: "ada", route: "orders", key: KEY };
  const result = { status: 201, body: "secret" as unknown, headers };
  const { status, body, ...late } = await withIdempotency(
    context,
    async ({ step }) => {
      await freeze(() =>
        withIdempotency(context, () => Promise.resolve(result))
      );
      await step("charge", () => 1);
      return result;
    },
  );
  assertEquals(status, 409);
  assertEquals((body as { code: string }).code, "RESPONSE_NOT_STORED");
  assertEquals(new Headers(late.headers).get("location"), "/orders/17");
});

Deno.test("a background part that comes too late rejects nowhere, even where no body was kept", async () => {
  const { config, freeze } = overtaken();
  const late = Promise.withResolvers<Response>();
  const slow = route(
    config,
    ({ finishLater }) => finishLater(new Response(), () => late.promise),
  );
  await slow({ key: KEY });
  await freeze(() => route(config, () => new Response("secret"))({ key: KEY }));
  const unhandled: unknown[] = [];
  const listen = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(event.reason);
  };
  addEventListener("unhandledrejection", listen);
  try {
    late.resolve(new Response("late"));
    // Everything here is in memory: done when nothing else is left to do.
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals(unhandled, []);
  } finally {
    removeEventListener("unhandledrejection", listen);
  }
});

Deno.test("a background part is not begun once another attempt has the key", async () => {
  const { config, freeze } = overtaken();
  const settings = { ...config, leaseSeconds: 1 };
  const running = Promise.withResolvers<void>();
  const done = Promise.withResolvers<Response>();
  let charges = 0;
  const late = route(settings, async ({ finishLater, signal }) => {
    const other = route(settings, () => {
      running.resolve();
      return done.promise;
    });
    await freeze(() => (void other({ key: KEY }), running.promise));
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return finishLater(
      new Response("accepted", { status: 202 }),
      () => Promise.resolve(Response.json(++charges)),
    );
  });
  try {
    await assertRejects(
      () => late({ key: KEY }),
      LeaseLostError,
      "another attempt has taken it over",
    );
    assertEquals(charges, 0);
  } finally {
    done.resolve(new Response("done"));
  }
});

Deno.test("what a background part ends in is recorded once the ledger is back", async () => {
  const store = memoryLedger();
  const completed = Promise.withResolvers<void>();
  let asked = 0;
  let renewed = 0;
  const config = {
    leaseSeconds: 1,
    store: {
      ...store,
      renew(...call: Parameters<typeof store.renew>) {
        renewed += 1;
        return store.renew(...call);
      },
      async complete(...call: Parameters<typeof store.complete>) {
        if (++asked < 3) {
          throw new LedgerUnavailableError("record the answer", null);
        }
        const result = await store.complete(...call);
        completed.resolve();
        return result;
      },
    },
  };
  const send = route(config, ({ finishLater, attempt }) =>
    finishLater(
      new Response("accepted", { status: 202 }),
      () => Promise.resolve(new Response(`run ${attempt}`)),
    ));
  assertEquals((await send({ key: KEY })).status, 202);
  await completed.promise;
  assert(renewed > 0, "the lease was not renewed meanwhile");
  const retry = await send({ key: KEY });
  assertEquals([retry.status, await retry.text()], [200, "run 1"]);
  // Who is recorded says nothing more.
  const beats = renewed;
  await new Promise((resolve) => setTimeout(resolve, 700));
  assertEquals(renewed, beats);
});

Deno.test("one event tells what became of a background part whose answer cannot be recorded", async () => {
  const { config, freeze } = overtaken();
  const told: string[] = [];
  const onEvent = ({ outcome }: IdempotencyEvent) => void told.push(outcome);
  const late = Promise.withResolvers<Response>();
  const slow = route(
    { ...config, onEvent },
    ({ finishLater }) => finishLater(new Response(), () => late.promise),
  );
  await slow({ key: KEY });
  await freeze(() => route(config, () => new Response("secret"))({ key: KEY }));
  late.resolve(new Response("late"));
  const keepBody = () => {
    throw new RangeError("no rule for this body");
  };
  const throwing = route(
    { ...config, onEvent, keepBody },
    ({ finishLater }) =>
      finishLater(new Response(), () => Promise.resolve(new Response("done"))),
  );
  await throwing({ key: "order-21" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(told.sort(), ["failed", "lost_lease"]);
});
