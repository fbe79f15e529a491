import { setTimeout as sleep } from "node:timers/promises";
import type { Freezing } from "./frozen_worker.ts";
import {
  type PeerName,
  PEERS,
  type Stores,
  USERS,
  type Worker,
} from "./peers.ts";
import { AT_ONCE, type BenchRow, percentile, rate } from "./row.ts";

/** How long {@link benchPeers} takes. */
export interface PeersBenchOptions {
  /**
   * Rounds; in each everybody has a turn.
   *
   * @default {15}
   */
  rounds?: number;
  /**
   * Operations of one turn.
   *
   * @default {2000}
   */
  operations?: number;
  /**
   * Keys that many want at once.
   *
   * @default {10}
   */
  races?: number;
}

const RACERS = 20;
const RACE_MS = 50;
const LEASE_MS = 1_000;
const LONG_LEASE_MS = 60_000;
const BODY = "x".repeat(300);
const NAMES = Object.keys(PEERS) as PeerName[];

// Who is measured beside whom.
const CONTESTS: [PeerName, PeerName][] = [
  ["redisLedger", "Powertools, Redis"],
  ["redisLedger", "node-idempotency, Redis"],
  ["redisLedger", "by hand, postgres.js"],
  ["postgresLedger, postgres.js", "by hand, postgres.js"],
  ["postgresLedger, pg", "by hand, pg"],
  ["postgresLedger, postgres.js", "Powertools, Redis"],
  ["postgresLedger, postgres.js", "node-idempotency, Redis"],
];

/**
 * The ledger beside those who do the same, on one Redis and one Postgres: a
 * first run and a replay, 16 keys at once, with an answer of 300 bytes that a
 * handler gives at once; how often a run goes to the store and back; what
 * becomes of duplicates, and of a worker that froze.
 *
 * @param stores Of the bench's own; Postgres with the migrations applied.
 */
export async function benchPeers(
  stores: Stores,
  { rounds = 15, operations = 2000, races = 10 }: PeersBenchOptions = {},
): Promise<BenchRow[]> {
  return [
    ...await throughput(stores, rounds, operations),
    ...await trips(stores),
    ...await duplicates(stores, races),
    ...await frozenWorkers(stores),
  ];
}

async function throughput(
  stores: Stores,
  rounds: number,
  operations: number,
): Promise<BenchRow[]> {
  await using workers = await startAll(
    NAMES,
    (name) => start(name, stores),
  );
  const kinds = {
    "first run": () => crypto.randomUUID() as string,
    "replay": (n: number) => `replay-${n}`,
  };
  const rows: BenchRow[] = [];
  for (const [kind, keyOf] of Object.entries(kinds)) {
    const rates = new Map(NAMES.map((name) => [name, [] as number[]]));
    // The first round prepares what each has to prepare.
    for (let round = -1; round < rounds; round++) {
      // Each has each place, and another neighbour, over the rounds.
      const turns = NAMES.map((_, n) => NAMES[(n + round + 1) % NAMES.length]!);
      for (const name of round % 2 ? turns : turns.reverse()) {
        const { run } = workers.of[NAMES.indexOf(name)]!;
        const perSecond = await rate(
          (lane) => run(USERS[lane]!, keyOf(lane), () => Promise.resolve(BODY)),
          operations,
        );
        if (round >= 0) rates.get(name)!.push(perSecond);
      }
    }
    for (const [one, other] of CONTESTS) {
      const [mine, theirs] = [rates.get(one)!, rates.get(other)!];
      rows.push({
        name: `${kind}: ${one}, against ${other}`,
        value: Math.round(percentile(mine, 50)),
        unit: "operations/s",
        baseline: Math.round(percentile(theirs, 50)),
        ratio: percentile(mine.map((rate, n) => rate / theirs[n]!), 50),
      });
    }
  }
  return rows;
}

async function trips(stores: Stores): Promise<BenchRow[]> {
  const counted: [PeerName, Record<"first run" | "replay", number>][] = [];
  for (const name of NAMES) {
    await using way = countingWay(stores[PEERS[name].store]);
    const here = { ...stores, [PEERS[name].store]: way.url };
    await using workers = await startAll(
      [name],
      (name) => start(name, here, { connections: 1 }),
    );
    const [worker] = workers.of;
    const run = (key: string) =>
      worker!.run(USERS[0]!, key, () => Promise.resolve(BODY));
    const during = async (key: string) => {
      const before = way.trips;
      await run(key);
      return way.trips - before;
    };
    // Statements and scripts are prepared once for many.
    const key = `trips-${crypto.randomUUID()}`;
    for (const warm of ["a", "b", "a"]) await run(`${key}-${warm}`);
    counted.push([name, {
      "first run": await during(key),
      "replay": await during(key),
    }]);
  }
  const [, floor] = counted[0]!;
  return (["first run", "replay"] as const).flatMap((kind) =>
    counted.map(([name, count]) => ({
      name: `trips of a ${kind}: ${name}`,
      value: count[kind],
      unit: "round trips",
      baseline: floor[kind],
      ratio: count[kind] / floor[kind],
    }))
  );
}

async function duplicates(
  stores: Stores,
  races: number,
): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const name of NAMES) {
    await using workers = await startAll(
      Array.from({ length: RACERS }, () => name),
      (name) => start(name, stores, { connections: 1 }),
    );
    let effects = 0;
    for (let race = 0; race < races; race++) {
      const key = `race-${race}-${crypto.randomUUID()}`;
      await Promise.allSettled(
        workers.of.map(({ run }) =>
          run(USERS[0]!, key, async () => {
            effects += 1;
            await sleep(RACE_MS);
            return BODY;
          })
        ),
      );
    }
    rows.push({
      name: `${RACERS} at once with one key: ${name}`,
      value: effects,
      unit: "effects",
      baseline: races,
      ratio: effects / races,
    });
  }
  return rows;
}

async function frozenWorkers(stores: Stores): Promise<BenchRow[]> {
  const outcomes = await Promise.all(
    NAMES.map(async (name) =>
      [name, await frozenWorker(name, stores)] as const
    ),
  );
  return [
    ...outcomes.map(([name, { wasFreed }]) => ({
      name: `key of a worker that is gone runs again: ${name}`,
      value: Number(wasFreed),
      unit: "of 1",
      baseline: 1,
      ratio: Number(wasFreed),
    })),
    ...outcomes.map(([name, { wasChanged }]) => ({
      name: `late write changes the answer of its successor: ${name}`,
      value: Number(wasChanged),
      unit: "of 1",
      baseline: 1,
      ratio: Number(wasChanged),
    })),
  ];
}

/** One worker freezes in its handler, another one comes, and the first wakes. */
async function frozenWorker(
  name: PeerName,
  stores: Stores,
): Promise<{ wasFreed: boolean; wasChanged: boolean }> {
  const key = `frozen-${crypto.randomUUID()}`;
  const [late, answer] = ["of the late one", "of its successor"];
  const frozen = new Worker(new URL("./frozen_worker.ts", import.meta.url), {
    type: "module",
  });
  const alarm = new Int32Array(new SharedArrayBuffer(4));
  const heard = (message: string) =>
    new Promise<void>((resolve) =>
      frozen.addEventListener("message", ({ data }) => {
        if (data === message) resolve();
      })
    );
  const [isFrozen, isOver] = [heard("frozen"), heard("over")];
  const order: Freezing = {
    name,
    stores,
    leaseMs: LEASE_MS,
    key,
    answer: late,
    alarm,
  };
  frozen.postMessage(order);
  await isFrozen;
  const successor = await start(name, stores, { leaseMs: LEASE_MS });
  try {
    const ask = () =>
      successor.run(USERS[0]!, key, () => Promise.resolve(answer)).catch(() =>
        null
      );
    const until = performance.now() + 4 * LEASE_MS;
    let told: string | null = null;
    while (told === null && performance.now() < until) {
      told = await ask();
      if (told === null) await sleep(50);
    }
    Atomics.store(alarm, 0, 1);
    Atomics.notify(alarm, 0);
    await isOver;
    return {
      wasFreed: told === answer,
      wasChanged: told !== null && await ask() !== told,
    };
  } finally {
    await successor.close();
    frozen.terminate();
  }
}

function start(
  name: PeerName,
  stores: Stores,
  { connections = AT_ONCE, leaseMs = LONG_LEASE_MS } = {},
): Promise<Worker> {
  return PEERS[name].start(stores, { connections, leaseMs });
}

/** Starts workers that end before the servers that they are on. */
async function startAll(
  names: readonly PeerName[],
  start: (name: PeerName) => Promise<Worker>,
): Promise<AsyncDisposable & { of: readonly Worker[] }> {
  const of = await Promise.all(names.map(start));
  return {
    of,
    async [Symbol.asyncDispose]() {
      for (const { close } of of) await close();
    },
  };
}

/** A way to a server that counts how often it is asked and waited for. */
function countingWay(
  target: string,
): AsyncDisposable & { url: string; readonly trips: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = new URL(target);
  const port = Number(url.port);
  url.port = String(listener.addr.port);
  let trips = 0;
  const relay = async (near: Deno.TcpConn) => {
    const far = await Deno.connect({ hostname: "127.0.0.1", port });
    let isAsked = false;
    const pass = (
      from: Deno.TcpConn,
      to: Deno.TcpConn,
      onBytes: () => void,
    ) =>
      from.readable.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(bytes, controller) {
            onBytes();
            controller.enqueue(bytes);
          },
        }),
      ).pipeTo(to.writable).catch(() => {});
    await Promise.all([
      pass(near, far, () => {
        if (!isAsked) trips += 1;
        isAsked = true;
      }),
      pass(far, near, () => isAsked = false),
    ]);
  };
  const relays = (async () => {
    for await (const near of listener) relay(near);
  })();
  return {
    url: url.href,
    get trips() {
      return trips;
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      await relays;
    },
  };
}
