import { assert, assertEquals } from "@std/assert";
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import {
  hasRedis,
  type RedisCluster,
  type Send,
  startRedisCluster,
} from "../../scripts/cluster/redis.ts";
import type { ClaimTerms } from "../../shared/idempotency/ledger.ts";
import { redisLedger } from "../../shared/idempotency/redis_ledger.ts";
import { ledgerContract } from "../../shared/idempotency/testing.ts";
import { ageRedis } from "../support/age.ts";

const terms = (): ClaimTerms => ({
  fingerprint: "a".repeat(64),
  ownerToken: crypto.randomUUID(),
  leaseSeconds: 60,
  ttlSeconds: 3600,
  onAbandoned: "retry",
  maxAttempts: 5,
  metadata: null,
});

if (!hasRedis()) {
  Deno.test.ignore("Redis Cluster: needs redis-server", () => {});
} else {
  testOnCluster();
}

function testOnCluster(): void {
  let redis: RedisCluster;
  const clients: Record<string, Send> = {};
  const closing: (() => unknown)[] = [];

  Deno.test.beforeAll(async () => {
    redis = await startRedisCluster();
    const rootNodes = redis.servers.map(({ url }) => ({ url }));
    const nodeRedis = createCluster({
      rootNodes,
      nodeAddressMap: redis.addresses,
    });
    await nodeRedis.connect();
    const ioredis = new Cluster(
      redis.servers.map(({ port }) => ({ host: "127.0.0.1", port })),
      { natMap: redis.addresses },
    );
    clients["redis"] = (command) =>
      nodeRedis.sendCommand(command[3], false, command);
    clients["ioredis"] = ([name, ...rest]) => ioredis.call(name!, ...rest);
    closing.push(() => nodeRedis.close(), () => ioredis.quit());
  });
  Deno.test.afterAll(async () => {
    for (const close of closing) await close();
    await redis[Symbol.asyncDispose]();
  });

  for (const client of ["redis", "ioredis"]) {
    Deno.test(`Redis Cluster, by ${client}: keeps the whole contract`, async () => {
      const cases = ledgerContract(() => ({
        ledger: redisLedger(clients[client]!, { prefix: `${client}:` }),
        users: ["ada", "bob"],
        age: async (seconds) => {
          for (const { send } of await redis.masters()) {
            await ageRedis(send, seconds);
          }
        },
      }));
      for (const { run } of cases) await run();
    });

    Deno.test(`Redis Cluster, by ${client}: a key lies in one slot, and keys in all parts`, async () => {
      await redis.sendAll(["FLUSHALL"]);
      const names: Set<string>[] = [];
      const life = async (key: string) => {
        const used = new Set<string>();
        names.push(used);
        const ledger = redisLedger((command) => {
          assertEquals(command[2], "1");
          used.add(command[3]!);
          return clients[client]!(command);
        });
        // What is in braces alone decides on the slot of a name.
        const identity = { userId: "{ada}", scope: "{orders}", key };
        const owner = terms();
        await ledger.claim(identity, owner);
        await ledger.renew(identity, owner.ownerToken, 60);
        await ledger.checkpoint(identity, owner.ownerToken, "charge", {}, 60);
        const answer = { status: 200, headers: {}, body: null };
        await ledger.complete(identity, owner.ownerToken, answer, 3600);
        assertEquals((await ledger.claim(identity, terms())).outcome, "replay");
        await ledger.read(identity);
        await ledger.status!(identity);
      };
      await Promise.all(
        Array.from({ length: 300 }, (_, n) => life(`key-${n}`)),
      );
      assert(names.every((used) => used.size === 1), "a key has other names");
      const sizes = await redis.sendAll(["DBSIZE"]) as number[];
      assertEquals(sizes.length, 3);
      assertEquals(sizes.reduce((sum, size) => sum + size), 300);
      assert(Math.min(...sizes) > 50, `${sizes}`);
    });
  }
}
