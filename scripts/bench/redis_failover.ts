import { setTimeout as sleep } from "node:timers/promises";
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import { redisLedger } from "../../shared/idempotency/redis_ledger.ts";
import {
  type RedisCluster,
  type Send,
  startRedisCluster,
} from "../cluster/redis.ts";
import { load, type Toll } from "./failover.ts";

/** What happens to a master, under load. */
export type Blow =
  /** It dies; its replica takes its place, and it comes back as a replica. */
  | "crash"
  /** It stops answering, its replica takes its place, and it wakes. */
  | "freeze"
  /** It dies and is started again, before anybody takes its place. */
  | "restart";

/** One way to run a Redis Cluster, and what happens to it. */
export interface RedisTrial {
  readonly client: "redis" | "ioredis";
  /**
   * How many of them take turns.
   *
   * @default {1}
   */
  readonly clients?: number;
  readonly blow: Blow;
  /** Of each server, as in `redis.conf`. */
  readonly settings?: Record<string, string>;
  /** Whether each command waits until the replica has it. */
  readonly wait: boolean;
  /** How long it takes until the replica has it, in ms. */
  readonly lagMs: number;
  /**
   * Answers before it, and after it.
   *
   * @default {1000}
   */
  readonly calm?: number;
}

const AT_ONCE = 16;
const NODE_TIMEOUT_MS = 1_000;

/** Hits a master of a Redis Cluster under load, and counts what is lost. */
export async function tryRedis(
  { calm = 1_000, client, clients = 1, blow, settings = {}, wait, lagMs }:
    RedisTrial,
): Promise<Toll> {
  await using cluster = await startRedisCluster(settings);
  cluster.lagMs = lagMs;
  const connected = await Promise.all(
    Array.from({ length: clients }, () => connect(cluster, { client, wait })),
  );
  try {
    let turn = 0;
    const send: Send = (command) => connected[turn++ % clients]!.send(command);
    const running = load(redisLedger(send, { timeoutMs: 3_000 }), AT_ONCE);
    while (running.told < calm) await sleep(20);
    running.strike();
    await strike(cluster, blow);
    // Everybody has found the new master.
    const before = running.told;
    while (running.told < before + calm) await sleep(20);
    return await running.settle();
  } finally {
    for (const { close } of connected) close();
  }
}

/** Does it to the master of one of the three parts. */
export async function strike(
  cluster: RedisCluster,
  blow: Blow,
  name = "any",
): Promise<void> {
  const master = await cluster.masterOf(name);
  if (blow === "restart") {
    master.kill();
    return await master.start();
  }
  for (const { send } of cluster.servers) {
    await send([
      "CONFIG",
      "SET",
      "cluster-node-timeout",
      String(NODE_TIMEOUT_MS),
    ]);
  }
  if (blow === "crash") master.kill();
  else master.freeze();
  while (await cluster.masterOf(name) === master) await sleep(50);
  if (blow === "freeze") master.thaw();
  // As a replica: a master without one would refuse those who wait for it.
  else await master.start();
}

/** A client, used as `docs/redis.md` says. */
export async function connect(
  cluster: RedisCluster,
  { client, wait }: Pick<RedisTrial, "client" | "wait">,
): Promise<{ send: Send; close: () => void }> {
  const { send, both, close } = await CLIENTS[client](cluster);
  return { send: wait ? replicated(send, both) : send, close };
}

type Both = (command: string[], next: string[]) => Promise<unknown[]>;

/** Answers when a replica has what was written. */
function replicated(send: Send, both: Both): Send {
  const wait = ["WAIT", "1", "1000"];
  return async (command) => {
    const [answer, replicas] = await both(command, wait).catch(
      async (error) => {
        if (!String(error).includes("MOVED")) throw error;
        // Clients follow with one command, and not with two. Each may be sent twice.
        await send(command);
        return await both(command, wait);
      },
    );
    if (Number(replicas) >= 1) return answer;
    throw new Error("no replica has it");
  };
}

const CLIENTS = {
  async redis({ servers, addresses }: RedisCluster) {
    const cluster = createCluster({
      rootNodes: servers.map(({ url }) => ({ url })),
      nodeAddressMap: addresses,
      topologyRefreshOnReconnectionAttemptStrategy: 100,
    });
    // Told with each command that fails, too.
    cluster.on("error", () => {});
    await cluster.connect();
    const send: Send = (command) =>
      cluster.sendCommand(command[3], false, command);
    const both: Both = (command, next) =>
      cluster.multi().addCommand(command[3], false, command)
        .addCommand(command[3], false, next).execAsPipeline();
    return { send, both, close: () => cluster.destroy() };
  },

  async ioredis({ servers, addresses }: RedisCluster) {
    const cluster = new Cluster(
      servers.map(({ port }) => ({ host: "127.0.0.1", port })),
      { natMap: addresses, lazyConnect: true },
    );
    cluster.on("error", () => {});
    await cluster.connect();
    const send: Send = ([name, ...rest]) => cluster.call(name!, ...rest);
    const both: Both = async ([name, ...rest], [next, ...more]) => {
      const results = await cluster.pipeline()
        .call(name!, ...rest).call(next!, ...more).exec();
      return results!.map(([error, answer]) => {
        if (error) throw error;
        return answer;
      });
    };
    return { send, both, close: () => cluster.disconnect() };
  },
};
