import FakeTimers from "@sinonjs/fake-timers";
import { equal } from "@std/assert";
import { type Begun, claim } from "../../../shared/idempotency/claim.ts";
import {
  resolveConfig,
  type ResolvedConfig,
} from "../../../shared/idempotency/config.ts";
import {
  IdempotencyError,
  LedgerUnavailableError,
  OutcomeUnknownError,
  RequestInProgressError,
} from "../../../shared/idempotency/errors.ts";
import type {
  Answer,
  ClaimResult,
  Identity,
  Ledger,
  SettleResult,
} from "../../../shared/idempotency/ledger.ts";
import { memoryLedger } from "../../../shared/idempotency/memory_ledger.ts";
import { platform } from "../../../shared/idempotency/platform.ts";
import {
  type CallFunction,
  sqlLedger,
} from "../../../shared/idempotency/sql_ledger.ts";
import { openBooks } from "./books.ts";
import type { Call, Result } from "./call.ts";
import { watch } from "./hang.ts";
import { type Random, randomFrom } from "./random.ts";
import type { Event } from "./schedule.ts";

// The other simulation plays calls of the port. This one plays workers: claims,
// attempts with their heartbeats, the ledger's deadlines and its breaker are the
// product's own, under a clock that only the schedule moves.

/** What workers may meet in a schedule. */
export interface Weather {
  /** Whether calls and answers are lost, and the ledger is down for a while. */
  readonly storms: boolean;
  /** Breaks the ledger on purpose; `now` in ms. */
  readonly wrong?: (ledger: Ledger, now: () => number) => Ledger;
}

/** What came of a schedule of workers. */
export interface Played {
  /** What was wrong, with the log up to there; `null` when all is as promised. */
  readonly failure: string | null;
  /** How often each thing was seen. */
  readonly tally: Map<string, number>;
}

const SECONDS = 240;
// Two versions of one function: the next is deployed while the first serves.
const VERSIONS = [
  { leaseSeconds: 9, maxRunSeconds: 40, maxAttempts: 3 },
  { leaseSeconds: 6, maxRunSeconds: 30, maxAttempts: 2 },
] as const;
const LONGEST_LEASE = 9;
const LONGEST_RUN = 40;
// What a deploy takes until its last worker has come up.
const MOST_ROLLOUT_MS = 60_000;
// The deadline of a claim, and what a timer may be late.
const MOST_CLAIM_MS = 5_050;
// The last try of who looks whether the ledger is back, and the pause after it.
const MOST_RETURN_MS = 2_400 + 3_000 + 100;
// For as long they are asked when the faults are over: several such pauses.
const CALM_SECONDS = 15;

const BEHAVIOURS = {
  quick: 8,
  slow: 4,
  fails: 2,
  hangs: 2,
  stalls: 3,
  crashes: 4,
};

/** A process: its calls go out and come back for as long as it lives. */
interface Worker {
  isDead: boolean;
  /** The moment, in ms, until which its event loop is busy. */
  busyUntil: number;
  readonly ledger: Ledger;
  readonly config: ResolvedConfig;
}

interface Run {
  readonly key: string;
  readonly number: number;
  readonly behaviour: keyof typeof BEHAVIOURS;
  readonly worker: Worker;
  readonly grantedAt: number;
  /** Whether it was ever silent for reasons that a takeover may have. */
  wasSilent: boolean;
  ended: boolean;
  abortedAt: number | null;
}

/** How many schedules this process has played. */
let played = 0;

/** Plays the schedule of a seed. */
export async function playWorkers(
  seed: number,
  { storms, wrong = (ledger) => ledger }: Weather,
): Promise<Played> {
  const clock = FakeTimers.install({
    now: 1,
    toFake: ["setTimeout", "clearTimeout", "Date", "performance"],
  });
  const random = randomFrom(seed);
  const real = { random: Math.random, log: platform.log };
  // Back-offs have jitter; a seed decides it like everything else.
  Math.random = () => random.below(1e9) / 1e9;
  platform.log = () => {};
  const now = () => clock.now;
  const ledger = wrong(memoryLedger({ now }), now);
  const world = createWorld(random, storms, ledger, now);
  using watched = watch(seed);
  try {
    await Promise.race([
      world.failed,
      watched.hung.then((error) => Promise.reject(error)),
      (async () => {
        await clock.tickAsync(SECONDS * 1000);
        world.calm();
        await clock.tickAsync(CALM_SECONDS * 1000);
        world.end();
        // The last one that stalls begins by then to hang, and its lease lapses.
        await clock.tickAsync((LONGEST_RUN + 6 * LONGEST_LEASE) * 1000);
        const settled = world.settle();
        await clock.tickAsync(60_000);
        await settled;
      })(),
    ]);
    return { failure: null, tally: world.tally };
  } catch (error) {
    const log = world.log.slice(-60).join("\n");
    return {
      failure: `seed ${seed}: ${(error as Error).message}\n${log}`,
      tally: world.tally,
    };
  } finally {
    Object.assign(Math, { random: real.random });
    platform.log = real.log;
    // Whoever waits for a moment of this clock is not to have it go on for them.
    clock.reset();
    clock.uninstall();
  }
}

function createWorld(
  random: Random,
  storms: boolean,
  ledger: Ledger,
  now: () => number,
) {
  // A seed is played in more than one weather, and its workers are others then.
  const world = ++played;
  const tally = new Map<string, number>();
  const log: string[] = [];
  const runs: Run[] = [];
  /** Requests that have not ended. */
  const open = new Set<{ key: string; worker: Worker }>();
  const answers = new Map<string, Answer>();
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  const books = bookkeeper(now);
  const database = books.keep(ledger);
  const outages = storms ? someOutages(random) : [];
  let calmAt = storms ? Infinity : 0;

  const note = (text: string) =>
    void log.push(`${(now() / 1000).toFixed(2).padStart(8)} s  ${text}`);
  const saw = (what: string) =>
    void tally.set(what, (tally.get(what) ?? 0) + 1);
  const must = (holds: boolean, promise: string) => {
    if (holds) return;
    note(`>>> ${promise}`);
    broken.reject(new Error(`broken: ${promise}`));
  };

  const isDown = () =>
    now() < calmAt &&
    outages.some(({ from, to }) => from <= now() && now() < to);
  const loses = () => now() < calmAt && random.chance(0.03);

  const network = (worker: () => Worker): CallFunction =>
  async (
    fn,
    args,
    withinMs,
  ) => {
    const end = now() + withinMs;
    const timedOut = async () => {
      await sleep(Math.max(0, end - now()));
      await untilAwake(worker());
      return {
        error: { message: "no answer", code: "" },
        isTransient: true,
      } as const;
    };
    await untilAwake(worker());
    await sleep(1 + random.below(20));
    if (isDown() || loses()) return await timedOut();
    let data: unknown;
    try {
      data = await execute(database, fn, args);
    } catch (error) {
      must(false, (error as Error).message);
    }
    if (loses()) return await timedOut();
    await sleep(1 + random.below(20));
    await untilAwake(worker());
    return { data, error: null };
  };

  async function untilAwake(worker: Worker): Promise<void> {
    while (worker.isDead || worker.busyUntil > now()) {
      if (worker.isDead) await new Promise<never>(() => {});
      await sleep(worker.busyUntil - now());
    }
  }

  const configs = VERSIONS.map((version) =>
    resolveConfig({
      ...version,
      onAbandoned: random.chance(0.7) ? "retry" : "refuse",
      onEvent: ({ outcome }) => saw(`event: ${outcome}`),
    })
  );
  const deployedAt = random.below(SECONDS) * 1000;

  let started = 0;
  const startWorker = (): Worker => {
    const isDeployed = now() >= deployedAt + random.below(MOST_ROLLOUT_MS);
    const worker: Worker = {
      isDead: false,
      busyUntil: 0,
      // A process knows nothing of another's: neither of the ledger's health nor
      // of what it is asking.
      ledger: sqlLedger(
        network(() => worker),
        { place: `simulated ${world}, worker ${++started}` },
      ),
      config: configs[isDeployed ? 1 : 0]!,
    };
    return worker;
  };
  const workers = Array.from({ length: 3 }, startWorker);

  const identityOf = (key: string): Identity => ({
    userId: null,
    scope: "orders",
    key,
  });

  /** Asks as one client does; `null` when it is refused. */
  async function begin(worker: Worker, key: string): Promise<Begun | null> {
    const startedAt = now();
    try {
      const begun = await claim(worker.ledger, identityOf(key), {
        fingerprint: "a".repeat(64),
        config: worker.config,
      });
      return begun;
    } catch (error) {
      const ms = now() - startedAt;
      const name = (error as Error).name;
      saw(`refused: ${name}`);
      if (!(error instanceof IdempotencyError)) throw error;
      if (!(error instanceof LedgerUnavailableError)) {
        return null;
      }
      // The deadline of a worker that computes is late like everything in it.
      if (worker.busyUntil > startedAt) return null;
      must(ms <= MOST_CLAIM_MS, `a claim is refused in time: ${ms} ms`);
      if (ms === 0) saw("refused at once");
      must(storms, "the ledger is up: it is asked");
      // What was lost before comes back as late as a worker that computes.
      const backAt = Math.max(calmAt, worker.busyUntil) + MOST_RETURN_MS;
      must(startedAt < backAt, "the ledger is back, and asked again");
      return null;
    }
  }

  function granted(worker: Worker, key: string, number: number): Run {
    const latest = latestRun(key);
    // Whoever hears of its grant late may have a successor by then.
    const last = latest !== undefined && latest.number < number && !latest.ended
      ? latest
      : null;
    if (last !== null && last.worker.config !== worker.config) {
      saw("taken over by the other version");
    }
    // Alive, not blocked, and nothing lost: somebody else's only once it hangs.
    if (!storms && last !== null && !last.wasSilent) {
      const seconds = (now() - last.grantedAt) / 1000;
      must(
        last.behaviour === "hangs" &&
          seconds >= last.worker.config.maxRunSeconds,
        `nobody takes over from a ${last.behaviour} attempt after ${seconds} s`,
      );
      saw("taken over from who hung");
    }
    const run: Run = {
      key,
      number,
      behaviour: random.weighted(BEHAVIOURS),
      worker,
      grantedAt: now(),
      wasSilent: false,
      ended: false,
      abortedAt: null,
    };
    runs.push(run);
    return run;
  }

  function tell(key: string, answer: Answer): void {
    const known = answers.get(key);
    if (known === undefined) answers.set(key, answer);
    else must(equal(answer, known), `the answer of ${key} does not change`);
  }

  async function request(worker: Worker, key: string): Promise<void> {
    const askedAt = now();
    const begun = await begin(worker, key);
    if (begun === null) return;
    if (begun.kind === "answer") {
      saw("replayed");
      return tell(key, begun.answer);
    }
    const { attempt } = begun;
    const run = granted(worker, key, attempt.number);
    // Granted to a worker that did not hear of it for a while.
    run.wasSilent = worker.busyUntil > askedAt;
    note(`${key} attempt ${attempt.number} ${run.behaviour}`);
    attempt.signal.addEventListener("abort", () => {
      run.abortedAt = now();
      note(
        `${key} attempt ${attempt.number} is told: ${attempt.signal.reason}`,
      );
    });
    const { behaviour } = run;
    await sleep(
      behaviour === "slow" ? random.below(20_000) : random.below(300),
    );
    if (behaviour === "hangs") return hang(run);
    if (behaviour === "crashes" && random.chance(0.5)) return crash(run);
    if (behaviour === "stalls") {
      worker.busyUntil = now() + 1000 * (1 + random.below(3 * LONGEST_LEASE));
      markSilent(worker);
      await untilAwake(worker);
    }
    await untilAwake(worker);
    if (behaviour === "fails") {
      // The key is free once the ledger knows, before this worker hears of it.
      run.ended = true;
      const recorded = await attempt.fail(new Error("it did not work"));
      if (recorded !== null) tell(key, recorded);
      return;
    }
    books.effect(identityOf(key), attempt.ownerToken!);
    if (behaviour === "crashes") return crash(run);
    try {
      const body = new TextEncoder().encode(`${key} by ${attempt.number}`);
      const { answer, as } = await attempt.respond({
        status: 200,
        headers: {},
        body,
      });
      saw(`responded: ${as}`);
      if (as === "unstored") return;
      run.ended = true;
      tell(key, answer);
    } catch (error) {
      if (!(error instanceof RequestInProgressError)) throw error;
      saw("a late answer was refused");
      must(storms || run.wasSilent, "only who was silent loses the key");
    }
  }

  const latestRun = (key: string) =>
    runs.filter((run) => run.key === key).at(-1);

  const markSilent = (worker: Worker) => {
    for (const run of runs) if (run.worker === worker) run.wasSilent = true;
  };

  function crash({ worker, key, number }: Run): void {
    note(`${key} attempt ${number} kills its worker`);
    worker.isDead = true;
    markSilent(worker);
    workers[workers.indexOf(worker)] = startWorker();
  }

  async function hang(run: Run): Promise<void> {
    await sleep(run.worker.config.maxRunSeconds * 1000 + 1000);
    if (run.worker.isDead || run.worker.busyUntil > now()) return;
    must(run.abortedAt !== null, "who hangs is told after maxRunSeconds");
  }

  const guarded = (work: Promise<void>) =>
    work.catch((error) => {
      note(`>>> ${error}`);
      broken.reject(error);
    });

  const traffic = async () => {
    let newest = 0;
    while (!ended) {
      await sleep(random.below(1_500));
      if (random.chance(0.08)) newest++;
      const key = `key-${Math.max(0, newest - random.below(4))}`;
      const worker = random.pick(workers);
      const asked = { key, worker };
      open.add(asked);
      guarded(request(worker, key).finally(() => open.delete(asked)));
    }
  };
  /** The old ones end what they have begun; the new ones are asked from then on. */
  const deploy = async () => {
    await sleep(deployedAt - now());
    for (const n of workers.keys()) {
      await sleep(random.below(MOST_ROLLOUT_MS / workers.length));
      workers[n] = startWorker();
    }
  };
  let ended = false;
  guarded(traffic());
  guarded(deploy());

  return {
    tally,
    log,
    failed: broken.promise,
    /** The faults are over. */
    calm() {
      calmAt = now();
    },
    /** And so are the requests. */
    end() {
      ended = true;
    },
    /** Each key answers, runs anew, or waits for an operator; nothing is stuck. */
    async settle() {
      const worker = startWorker();
      for (const key of new Set(runs.map((run) => run.key))) {
        const begun = await claim(worker.ledger, identityOf(key), {
          fingerprint: "a".repeat(64),
          config: worker.config,
        }).catch((error) => {
          must(
            error instanceof OutcomeUnknownError,
            `${key} is not stuck: ${error.message}`,
          );
          saw("settled: parked");
          return null;
        });
        if (begun === null) continue;
        saw(`settled: ${begun.kind}`);
        if (begun.kind === "answer") tell(key, begun.answer);
        else await begun.attempt.fail("settled");
      }
      for (const { key, worker: { isDead } } of open) {
        must(isDead, `a request for ${key} ends, unless its worker dies`);
      }
    },
  };
}

function someOutages(random: Random): { from: number; to: number }[] {
  const lengths = Array.from(
    { length: 1 + random.below(3) },
    () => 1000 * (1 + random.below(40)),
  );
  return lengths.map((length, n) => {
    // One ends with the faults: who was refused then is to come back.
    const from = n === 0
      ? SECONDS * 1000 - length
      : random.below(SECONDS) * 1000;
    return { from, to: from + length };
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Holds what the ledger decides against what the port promises. */
function bookkeeper(now: () => number) {
  const books = openBooks();
  let seconds = now() / 1000;
  const enter = (event: Event, answered?: Result) => {
    books.enter({ kind: "clock", seconds: now() / 1000 - seconds });
    seconds = now() / 1000;
    books.enter(event, answered);
  };
  const enterCall = (call: Call, answered: Result) => {
    const event = {
      client: 0,
      version: "old",
      call,
      expected: answered,
      heard: true,
    } as const;
    enter({ kind: "call", ...event }, answered);
  };
  return {
    effect(identity: Identity, ownerToken: string) {
      enter({ kind: "effect", identity, ownerToken, step: null });
    },
    keep(ledger: Ledger): Ledger {
      return {
        ...ledger,
        async claim(identity, terms) {
          const answered = await ledger.claim(identity, terms);
          enterCall({ method: "claim", identity, terms }, answered);
          return answered;
        },
        async renew(identity, ownerToken, leaseSeconds) {
          const answered = await ledger.renew(
            identity,
            ownerToken,
            leaseSeconds,
          );
          enterCall(
            { method: "renew", identity, ownerToken, leaseSeconds },
            answered,
          );
          return answered;
        },
        async complete(identity, ownerToken, answer, ttlSeconds) {
          const answered = await ledger.complete(
            identity,
            ownerToken,
            answer,
            ttlSeconds,
          );
          enterCall(
            { method: "complete", identity, ownerToken, answer, ttlSeconds },
            answered,
          );
          return answered;
        },
        async fail(identity, ownerToken, failure, ttlSeconds) {
          const answered = await ledger.fail(
            identity,
            ownerToken,
            failure,
            ttlSeconds,
          );
          enterCall(
            { method: "fail", identity, ownerToken, ttlSeconds },
            answered,
          );
          return answered;
        },
      };
    },
  };
}

/** What the SQL function of this name answers, by the ledger in memory. */
async function execute(
  ledger: Ledger,
  fn: string,
  args: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const identity: Identity = {
    userId: args["p_owner"] === "" ? null : args["p_owner"] as string,
    scope: args["p_scope"] as string,
    key: args["p_idempotency_key"] as string,
  };
  const owner = args["p_owner_token"] as string;
  const lease = args["p_lease_seconds"] as number;
  const ttl = args["p_ttl_seconds"] as number;
  switch (fn) {
    case "idempotency_claim":
      return rowOf(
        await ledger.claim(identity, {
          fingerprint: args["p_fingerprint"] as string,
          ownerToken: owner,
          leaseSeconds: lease,
          ttlSeconds: ttl,
          onAbandoned: args["p_on_abandoned"] as "retry" | "refuse",
          maxAttempts: args["p_max_attempts"] as number,
          metadata: null,
        }),
      );
    case "idempotency_renew":
      return rowOf(await ledger.renew(identity, owner, lease));
    case "idempotency_complete": {
      const body = new TextEncoder().encode(args["p_response"] as string);
      const status = args["p_status_code"] as number;
      const answer = { status, headers: {}, body };
      return rowOf(await ledger.complete(identity, owner, answer, ttl));
    }
    case "idempotency_fail": {
      const message = args["p_error_message"] as string;
      const failure = { message, status: null };
      return rowOf(await ledger.fail(identity, owner, failure, ttl));
    }
    case "idempotency_count_replays":
      return null;
    default:
      throw new Error(`no workers call ${fn}`);
  }
}

function rowOf(result: ClaimResult | SettleResult): object {
  const answer = result.outcome === "replay" ? result.answer : null;
  return {
    outcome: result.outcome,
    attempt: "attempt" in result ? result.attempt : null,
    fence: "fence" in result ? result.fence : null,
    retry_after_seconds: "retryAfterSeconds" in result
      ? result.retryAfterSeconds
      : null,
    status_code: answer?.status ?? null,
    response: answer && new TextDecoder().decode(answer.body!),
    response_encoding: answer && "text",
    response_headers: answer && {},
    steps: "steps" in result ? result.steps : null,
  };
}
