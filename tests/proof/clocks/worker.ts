/**
 * An instance whose clock is wrong, and jumps: performs operations and prints
 * what came of them, a line each. `worker.ts URL SEED SECONDS HELD`, of which the
 * last is a key that somebody else holds all the time.
 *
 * @module
 */
import postgres from "postgres";
import {
  LedgerUnavailableError,
  postgresLedger,
  withIdempotency,
} from "../../../shared/idempotency.ts";
import { randomFrom } from "../simulation/random.ts";
import { Failed, type Outcome, perform, ROUTES } from "./operations.ts";
import type { Line } from "./trials.ts";

const [url, seed, seconds, held] = Deno.args as [
  string,
  string,
  string,
  string,
];
const AT_ONCE = 3;
const MS_PER_KEY = 250;
const KEYS_AT_ONCE = 8;

const random = randomFrom(Number(seed));
const sql = postgres(url, { max: 6, onnotice: () => {} });
const isOver = () => performance.now() > Number(seconds) * 1000;

async function client(): Promise<void> {
  do {
    const newest = Math.floor(performance.now() / MS_PER_KEY);
    const route = random.pick(ROUTES);
    const key = `key-${newest + random.below(KEYS_AT_ONCE)}`;
    try {
      const outcome = await perform(sql, route, key, {
        leaseSeconds: 30,
        workMs: random.below(40),
        fails: random.chance(0.1),
      });
      tell({ kind: "outcome", route, key, ...partOf(outcome) });
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
    }
    await sleep(random.below(25));
  } while (!isOver());
}

// The lease would end twice before the work does, if it were not renewed.
const LEASE_SECONDS = 6;
const LONG_WORK_MS = 14_000;

async function worksForLong(): Promise<void> {
  do {
    const key = crypto.randomUUID();
    const terms = { leaseSeconds: LEASE_SECONDS, workMs: LONG_WORK_MS };
    const stall = longestStall();
    const working = perform(sql, "long", key, { ...terms, fails: false });
    await sleep(LONG_WORK_MS * 0.75);
    const other = await perform(sql, "long", key, { ...terms, fails: false });
    await working;
    // Whoever cannot send a renewal in time loses the lease by right.
    if (stall.end() > LEASE_SECONDS * 1000 / 3) continue;
    tell({ kind: "kept", status: other.status });
  } while (!isOver());
}

const WAIT_SECONDS = 2;

async function waits(): Promise<void> {
  do {
    const startedAt = performance.now();
    const { status } = await withIdempotency({
      store: postgresLedger(sql),
      userId: null,
      route: "held",
      key: held,
      onConcurrent: "wait",
      waitSeconds: WAIT_SECONDS,
    }, () => Promise.resolve({ status: 200, body: null }));
    const waited = (performance.now() - startedAt) / 1000;
    tell({ kind: "waited", status, share: waited / WAIT_SECONDS });
  } while (!isOver());
}

async function breaks(): Promise<void> {
  let isDown = false;
  const store = postgresLedger({
    async queryRaw(statement, parameters) {
      if (isDown) throw new Error("no way to the database");
      return [...await sql.unsafe(statement, parameters as string[])];
    },
  });
  const isUp = async () => {
    const identity = { userId: null, scope: "breaker", key: "any" };
    try {
      await store.read(identity);
      return true;
    } catch (error) {
      if (error instanceof LedgerUnavailableError) return false;
      throw error;
    }
  };
  do {
    isDown = true;
    while (await isUp());
    for (let calls = 0; calls < 5; calls++) await isUp();
    isDown = false;
    const startedAt = performance.now();
    while (!await isUp()) await sleep(100);
    tell({ kind: "closed", seconds: (performance.now() - startedAt) / 1000 });
    await sleep(200);
  } while (!isOver());
}

/** Measures for how long nothing else could be done, in ms. */
function longestStall() {
  let longest = 0;
  let last = performance.now();
  const look = () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  };
  const timer = setInterval(look, 50);
  return {
    end() {
      clearInterval(timer);
      look();
      return longest;
    },
  };
}

function partOf({ status, body }: Outcome) {
  return { status, did: status === 200 ? body.did : String(body.code) };
}

function tell(line: Line): void {
  console.log(JSON.stringify(line));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

await Promise.all([
  ...Array.from({ length: AT_ONCE }, client),
  worksForLong(),
  waits(),
  breaks(),
]);
await sql.end();
tell({ kind: "over" });
