import type { SharedLock } from "./shared_lock.ts";

// Another holder may have come since: who releases must still be the one.
const RELEASE =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

/**
 * The {@link SharedLock} in Redis, or what speaks its commands.
 *
 * @param send Sends one command with its arguments and gives back its answer:
 * node-redis' `sendCommand`, ioredis' `call`, a request to a REST gateway.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { redisLock } from "./redis_lock.ts";
 *
 * const commands: string[] = [];
 * const lock = redisLock(([command]) => {
 *   commands.push(command!);
 *   return Promise.resolve(null);
 * });
 * assertEquals(await lock.holder("idempotency:1"), null);
 * await lock.hold("idempotency:1", "owner", 30_000);
 * await lock.release("idempotency:1", "owner");
 * assertEquals(commands, ["GET", "SET", "EVAL"]);
 * ```
 */
export function redisLock(
  send: (command: string[]) => Promise<unknown>,
): SharedLock {
  return {
    async holder(name) {
      const holder = await send(["GET", name]);
      return typeof holder === "string" ? holder : null;
    },
    async hold(name, holder, ms) {
      await send(["SET", name, holder, "PX", String(ms)]);
    },
    async release(name, holder) {
      await send(["EVAL", RELEASE, "1", name, holder]);
    },
  };
}
