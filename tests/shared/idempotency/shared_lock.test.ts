import { assertEquals, assertRejects } from "@std/assert";
import {
  type Ledger,
  memoryLedger,
  redisLock,
  type SharedLock,
  withIdempotency,
} from "../../../shared/idempotency.ts";
import { hasRedis, type Send, startRedis } from "../../support/redis.ts";

/** A memory ledger that notes which calls reach it. */
function recorded() {
  const calls: string[] = [];
  const ledger = memoryLedger();
  const store: Ledger = {
    ...ledger,
    claim: (...args) => (calls.push("claim"), ledger.claim(...args)),
    renew: (...args) => (calls.push("renew"), ledger.renew(...args)),
    complete: (...args) => (calls.push("complete"), ledger.complete(...args)),
    fail: (...args) => (calls.push("fail"), ledger.fail(...args)),
  };
  return { store, calls };
}

/** Runs an operation for the key `k`; two callers of it are two isolates. */
function order(
  store: Ledger,
  sharedLock: SharedLock,
  work: () => Promise<void> | void = () => {},
  payload: unknown = 1,
) {
  const context = { store, userId: "u", route: "orders", key: "key-1" };
  return withIdempotency(
    { ...context, payload, sharedLock, leaseSeconds: 1 },
    async () => {
      await work();
      return { status: 201, body: "done" };
    },
  );
}

function onRedis(
  name: string,
  test: (lock: SharedLock, send: Send) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: !hasRedis(),
    async fn() {
      await using server = await startRedis();
      await test(redisLock(server.send), server.send);
    },
  });
}

onRedis(
  "a duplicate of a running request is refused without asking the ledger",
  async (lock) => {
    const { store, calls } = recorded();
    const working = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const first = order(store, lock, async () => {
      working.resolve();
      await release.promise;
    });
    await working.promise;
    const duplicate = await order(store, lock);
    assertEquals(duplicate.status, 409);
    assertEquals(calls, ["claim"]);
    release.resolve();
    assertEquals((await first).status, 201);
    const replay = await order(store, lock);
    assertEquals([replay.status, replay.replayed], [201, true]);
    assertEquals(calls, ["claim", "complete", "claim"]);
  },
);

onRedis(
  "another payload hears from the ledger that the key is taken",
  async (lock) => {
    const { store, calls } = recorded();
    let other: Awaited<ReturnType<typeof order>> | undefined;
    await order(store, lock, async () => {
      other = await order(store, lock, () => {}, 2);
    });
    assertEquals(other?.status, 422);
    assertEquals(calls, ["claim", "claim", "complete"]);
  },
);

onRedis(
  "a failed run frees the key, a renewed one keeps it",
  async (lock, send) => {
    const { store, calls } = recorded();
    await assertRejects(() =>
      order(store, lock, () => {
        throw new Error("no");
      })
    );
    assertEquals(await send(["DBSIZE"]), 0);
    await order(store, lock, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assertEquals((await order(store, lock)).status, 409);
    });
    assertEquals(await send(["DBSIZE"]), 0);
    assertEquals(calls.filter((call) => call === "claim").length, 2);
  },
);

onRedis(
  "what a dead worker left in the lock is over with its lease",
  async (lock) => {
    const { store } = recorded();
    await assertRejects(
      () =>
        order(store, {
          ...lock,
          release: () => Promise.reject(new Error("gone")),
        }, () => {
          throw new Error("no");
        }),
      Error,
      "no",
    );
    assertEquals((await order(store, lock)).status, 409);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    assertEquals((await order(store, lock)).status, 201);
  },
);

onRedis(
  "who releases late does not free the key for its successor",
  async (lock) => {
    await lock.hold("name", "second", 1_000);
    await lock.release("name", "first");
    assertEquals(await lock.holder("name"), "second");
    await lock.release("name", "second");
    assertEquals(await lock.holder("name"), null);
  },
);

Deno.test("a lock that fails, or hangs, is done without", async () => {
  for (
    const broken of [
      () => Promise.reject(new Error("connection refused")),
      () => new Promise<never>(() => {}),
    ]
  ) {
    const { store, calls } = recorded();
    const lock = { holder: broken, hold: broken, release: broken };
    assertEquals((await order(store, lock)).status, 201);
    assertEquals((await order(store, lock)).replayed, true);
    assertEquals(calls, ["claim", "complete", "claim"]);
  }
});
