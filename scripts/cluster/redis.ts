import { createClient } from "redis";
import { freePort, freePorts } from "./free_ports.ts";
import { slowWay } from "./slow_way.ts";

/** Sends one command with its arguments, and gives back its answer. */
export type Send = (command: string[]) => Promise<unknown>;

/** A throw-away Redis server of its own, which ends with this process too. */
export interface RedisServer extends AsyncDisposable {
  /** Where clients reach it, on loopback. */
  readonly url: string;
  readonly port: number;
  /** Its process; another one after {@link RedisServer.start}. */
  readonly pid: number;
  readonly send: Send;
  /** Ends it at once, as a machine without power does. */
  kill(): void;
  /** Stops it where it is: its connections stay open, and nobody answers. */
  freeze(): void;
  /** Lets it go on where it stopped. */
  thaw(): void;
  /** Starts it again after {@link RedisServer.kill}, on what its disk kept. */
  start(): Promise<void>;
}

/** Six servers on loopback: three masters, each with one replica. */
export interface RedisCluster extends AsyncDisposable {
  readonly servers: readonly RedisServer[];
  /**
   * Where a client reaches the addresses that the servers name: `nodeAddressMap`
   * of node-redis, `natMap` of ioredis.
   */
  readonly addresses: Readonly<Record<string, { host: string; port: number }>>;
  /** The server that has the slot of a name just now, by what most of the others know. */
  masterOf(name: string): Promise<RedisServer>;
  /** The servers that are masters just now. */
  masters(): Promise<RedisServer[]>;
  /** Sends a command to every server that is a master. */
  sendAll: Send;
  /**
   * How long what a master tells its replica is under way, in ms, as between
   * two places; what is under way when the master dies is lost.
   */
  lagMs: number;
}

/** Whether this machine has a Redis server. */
export function hasRedis(): boolean {
  try {
    return new Deno.Command("redis-server", { args: ["--version"] })
      .outputSync().success;
  } catch {
    return false;
  }
}

/**
 * Starts a Redis server on a free loopback port. It keeps nothing on disk
 * unless told to.
 *
 * @param settings As in `redis.conf`, by name; they win.
 */
export function startRedis(
  settings: Record<string, string> = {},
): Promise<RedisServer> {
  return startServer(freePort(), settings);
}

/**
 * Starts a Redis Cluster of three masters with one replica each.
 *
 * @param settings Of each server, as in `redis.conf`, by name; they win.
 */
export async function startRedisCluster(
  settings: Record<string, string> = {},
): Promise<RedisCluster> {
  const ports = freePorts(12);
  let lagMs = 0;
  // Servers name these to each other, and clients do not go this way.
  const ways = ports.slice(0, 6).map((port) => slowWay(port, () => lagMs));
  const servers = await Promise.all(
    ports.slice(0, 6).map((port, n) =>
      startServer(port, {
        "cluster-enabled": "yes",
        "cluster-port": String(ports[6 + n]),
        "cluster-announce-port": String(ways[n]!.port),
        // Replicas are up to date with the first write and not the fifth second.
        "repl-diskless-sync-delay": "0",
        ...settings,
        // Heartbeats are sent twice in this time, and tell who is whose replica.
        "cluster-node-timeout": "500",
      })
    ),
  );
  const close = async () => {
    ways.forEach((way) => way.close());
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  };
  try {
    await join(servers, ports.slice(6));
    const timeout = settings["cluster-node-timeout"] ?? "15000";
    for (const { send } of servers) {
      await send(["CONFIG", "SET", "cluster-node-timeout", timeout]);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const named = (port: number) => ways.findIndex((way) => way.port === port);
  const masters = async () => {
    const slots = await slotsOf(servers);
    const found = new Set(slots.map(({ port }) => named(port)));
    return servers.filter((_server, n) => found.has(n));
  };
  return {
    servers,
    get lagMs() {
      return lagMs;
    },
    set lagMs(ms) {
      lagMs = ms;
    },
    addresses: Object.fromEntries(
      servers.map(({ port }, n) => [
        `127.0.0.1:${ways[n]!.port}`,
        { host: "127.0.0.1", port },
      ]),
    ),
    masters,
    async masterOf(name) {
      for (;;) {
        const slot = await firstAnswer(servers, ["CLUSTER", "KEYSLOT", name]);
        const range = (await slotsOf(servers))
          .find(({ from, to }) => from <= Number(slot) && Number(slot) <= to);
        if (range !== undefined) return servers[named(range.port)]!;
        await pause();
      }
    },
    sendAll: async (command) =>
      await Promise.all((await masters()).map(({ send }) => send(command))),
    [Symbol.asyncDispose]: close,
  };
}

// The shell holds the read end of a pipe from this process. However this
// process ends, the pipe closes, and the shell tidies away.
const KEEPER = `
home=$1; shift
trap '' INT TERM HUP
start() { (cd "$home" && exec "$@") >/dev/null 2>&1 & server=$!; echo "$server"; }
start "$@"
while read -r _; do wait "$server"; start "$@"; done
kill -KILL "$server" 2>/dev/null
wait "$server"
rm -rf "$home"
`;

async function startServer(
  port: number,
  settings: Record<string, string>,
): Promise<RedisServer> {
  const home = await Deno.makeTempDir({ prefix: "redis-" });
  const all = {
    bind: "127.0.0.1",
    port: String(port),
    save: "",
    // The default names the machine's own addresses.
    "protected-mode": "no",
    ...settings,
  };
  const keeper = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      KEEPER,
      "keeper",
      home,
      "redis-server",
      ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    // Else it is killed at the end of this process, before it has tidied away.
    detached: true,
  }).spawn();
  const stdin = keeper.stdin.getWriter();
  const pids = keeper.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const url = `redis://127.0.0.1:${port}`;
  // For asking it, and for nothing that is measured.
  const client = createClient({
    url,
    disableOfflineQueue: true,
    socket: { reconnectStrategy: 50 },
  });
  // It says on each command that it is not connected.
  client.on("error", () => {});
  let pid = Number((await pids.read()).value);
  const signal = (name: Deno.Signal) => Deno.kill(pid, name);
  const answers = async () => {
    const until = performance.now() + MOST_START_MS;
    while (!await client.ping().then(() => true, () => false)) {
      if (performance.now() > until) {
        throw new Error(`redis-server does not answer on port ${port}`);
      }
      await pause();
    }
  };
  client.connect().catch(() => {});
  await answers();
  return {
    url,
    port,
    get pid() {
      return pid;
    },
    send: (command) => client.sendCommand(command),
    kill: () => signal("SIGKILL"),
    freeze: () => signal("SIGSTOP"),
    thaw: () => signal("SIGCONT"),
    async start() {
      await stdin.write(new TextEncoder().encode("\n"));
      pid = Number((await pids.read()).value);
      await answers();
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
      await stdin.close();
      await keeper.status;
      await pids.cancel();
    },
  };
}

// Only one that has not started takes so long.
const MOST_START_MS = 120_000;

const SLOTS = 16_384;

async function join(
  servers: readonly RedisServer[],
  busPorts: readonly number[],
): Promise<void> {
  const masters = servers.slice(0, 3);
  const replicas = servers.slice(3);
  await Promise.all(masters.map(async ({ send }, n) => {
    const [from, to] = [n, n + 1].map((n) => Math.floor(n * SLOTS / 3));
    await send(["CLUSTER", "ADDSLOTSRANGE", String(from), String(to! - 1)]);
    // Their own from the start, so that no two have to settle who yields.
    await send(["CLUSTER", "SET-CONFIG-EPOCH", String(n + 1)]);
  }));
  // The bus is not where it is looked for by default.
  // Each with each: gossip would take seconds.
  for (const [n, { port }] of servers.entries()) {
    const at = ["127.0.0.1", String(port), String(busPorts[n])];
    for (const { send } of servers.slice(0, n)) {
      await send(["CLUSTER", "MEET", ...at]);
    }
  }
  await until(servers, async ({ send }) => {
    const known = String(await send(["CLUSTER", "NODES"])).trim().split("\n");
    return known.length === servers.length &&
      known.every((line) => !line.includes("handshake"));
  });
  await Promise.all(replicas.map(async ({ send }, n) => {
    const id = String(await masters[n]!.send(["CLUSTER", "MYID"]));
    await send(["CLUSTER", "REPLICATE", id]);
  }));
  await until(replicas, async ({ send }) => {
    const info = String(await send(["INFO", "replication"]));
    return info.includes("master_link_status:up");
  });
  await until(servers, async ({ send }) => {
    const info = String(await send(["CLUSTER", "INFO"]));
    const nodes = String(await send(["CLUSTER", "NODES"])).split("\n");
    return info.includes("cluster_state:ok") &&
      nodes.filter((line) => line.includes("slave")).length === 3;
  });
}

async function until(
  servers: readonly RedisServer[],
  holds: (server: RedisServer) => Promise<boolean>,
): Promise<void> {
  await Promise.all(servers.map(async (server) => {
    while (!await holds(server)) await pause();
  }));
}

interface SlotRange {
  readonly from: number;
  readonly to: number;
  /** By which its master goes. */
  readonly port: number;
}

// Each range once, from whoever knows the latest epoch: one that was cut off
// still believes in its own.
async function slotsOf(servers: readonly RedisServer[]): Promise<SlotRange[]> {
  const views = await Promise.allSettled(servers.map(async ({ send }) => {
    const info = await inTime(send(["CLUSTER", "INFO"]));
    const slots = await inTime(send(["CLUSTER", "SLOTS"]));
    const epoch = /cluster_current_epoch:(\d+)/.exec(String(info))?.[1];
    return { epoch: Number(epoch), slots: slots as unknown[][] };
  }));
  const known = views.flatMap((view) =>
    view.status === "fulfilled" ? [view.value] : []
  ).sort((a, b) => b.epoch - a.epoch);
  return (known[0]?.slots ?? []).map(([from, to, master]) => ({
    from: Number(from),
    to: Number(to),
    port: Number((master as unknown[])[1]),
  }));
}

async function firstAnswer(
  servers: readonly RedisServer[],
  command: string[],
): Promise<unknown> {
  return await Promise.any(servers.map(({ send }) => send(command)));
}

const MOST_WAIT_MS = 500;

/** One that is frozen never answers. */
function inTime<T>(answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(reject, MOST_WAIT_MS, new Error("no answer"));
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
