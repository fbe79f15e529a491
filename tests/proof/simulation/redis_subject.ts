import type { RedisServer } from "../../../scripts/cluster/redis.ts";
import { redisLedger } from "../../../shared/idempotency/redis_ledger.ts";
import { ageRedis } from "../../support/age.ts";
import { callLedger } from "./call.ts";
import { REFUSED, type Subject } from "./play.ts";

const TERMS = {
  fingerprint: "a".repeat(64),
  ownerToken: crypto.randomUUID(),
  leaseSeconds: 1,
  ttlSeconds: 1,
  onAbandoned: "retry",
  maxAttempts: 1,
  metadata: null,
} as const;

/** The ledger in a Redis of its own. */
export function redisSubject({ send }: Pick<RedisServer, "send">): Subject {
  const ledger = redisLedger(send);
  let isWarm = false;
  return {
    name: "redis",
    // Redis itself deletes what has expired; users have no way to reach it.
    surroundings: {
      grain: 10,
      purges: "at once",
      forges: false,
      upgrades: false,
    },
    overlaps: true,
    async clear() {
      // Calls go out without waiting for each other: no script may be missing,
      // or its call is overtaken by the next.
      if (!isWarm) {
        const identity = { userId: null, scope: "warm", key: "warm" };
        await ledger.renew(identity, crypto.randomUUID(), 1);
        await ledger.claim(identity, TERMS);
        await ledger.read(identity);
        isWarm = true;
      }
      await send(["FLUSHALL"]);
    },
    call: (call) => callLedger(ledger, call),
    // The scripts read the clock themselves, so the keys move the other way.
    moveClock: (seconds) => ageRedis(send, seconds),
    purge() {},
    forge: () => REFUSED,
    upgrade() {},
  };
}
