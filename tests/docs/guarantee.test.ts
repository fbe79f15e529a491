import { assert, assertEquals } from "@std/assert";
import { unique } from "../support/probe.ts";
import { withStack } from "../support/stack.ts";
import type { WorkerSettings } from "./guarantee_worker.ts";

// The README's table of what goes wrong, row by row: workers are processes that
// are killed and frozen, and the ledger is cut off.

const stack = withStack();

// Long enough that a busy machine asks again within it.
const LEASE_MS = 2_000;
// An answer is tried to be recorded for 20 s.
const OUTLASTS_RECORD = { leaseSeconds: 23 };
const WORKER = new URL("./guarantee_worker.ts", import.meta.url).href;

/** What a client was told; `code` of refusals only, `run` of answers only. */
interface Told {
  readonly status: number;
  readonly code?: string;
  readonly run?: number;
  readonly replayed: boolean;
}

/** What came of a row of the table. */
interface Outcome {
  readonly runs: number;
  readonly told: readonly Told[];
}

type Options = Partial<Omit<WorkerSettings, "runs" | "secretKey">>;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** One key of one route, and the workers that serve it. */
class Route implements AsyncDisposable {
  readonly #key = unique("guarantee");
  readonly #runs = Deno.makeTempFileSync();
  readonly #workers: Deno.ChildProcess[] = [];
  readonly #options: Options;
  /** Everything that clients were told, in order. */
  readonly told: Told[] = [];

  constructor(options: Options) {
    this.#options = options;
  }

  runs(): number {
    return Deno.readTextFileSync(this.#runs).split("\n").length - 1;
  }

  outcome(): Outcome {
    return { runs: this.runs(), told: this.told };
  }

  /** Starts a worker; answers how to ask it, and its process. */
  async worker() {
    const settings: WorkerSettings = {
      url: stack().apiUrl,
      secretKey: stack().secretKey,
      first: "answer",
      always: false,
      takes: 0,
      runs: this.#runs,
      ...this.#options,
      config: { leaseSeconds: LEASE_MS / 1000, ...this.#options.config },
    };
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", WORKER, JSON.stringify(settings)],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#workers.push(process);
    const reader = process.stdout.getReader();
    const { value } = await reader.read();
    const port = new TextDecoder().decode(value).trim();
    void reader.cancel();
    const ask = async (
      { signal }: { signal?: AbortSignal } = {},
    ): Promise<Told> => {
      const response = await fetch(`http://127.0.0.1:${port}/guarantee`, {
        method: "POST",
        headers: { "Idempotency-Key": this.#key },
        body: "{}",
        signal: signal ?? null,
      });
      const text = await response.text();
      const told: Told = {
        status: response.status,
        replayed: response.headers.has("x-idempotency-replay"),
        ...(text === "" ? {} : JSON.parse(text)),
      };
      this.told.push(told);
      return told;
    };
    return { process, ask };
  }

  /** Until so many runs have begun. */
  async begun(count: number): Promise<void> {
    while (this.runs() < count) await sleep(20);
  }

  async [Symbol.asyncDispose]() {
    for (const worker of this.#workers) {
      try {
        worker.kill("SIGKILL");
      } catch {
        // It is gone.
      }
      await worker.status;
    }
    await Deno.remove(this.#runs);
  }
}

/** As a client does: again, for as long as the key is somebody else's. */
async function untilSettled(ask: () => Promise<Told>): Promise<Told> {
  for (;;) {
    const told = await ask();
    if (told.code !== "REQUEST_IN_PROGRESS") return told;
    await sleep(150);
  }
}

/** The ledger, as far as it is up: a gateway in front of it. */
function gateway(isUp: (path: string) => boolean) {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (req) => {
      const { method, headers, url } = req;
      const { pathname, search } = new URL(url);
      if (!isUp(pathname)) return new Response(null, { status: 502 });
      const body = await req.text();
      return await fetch(`${stack().apiUrl}${pathname}${search}`, {
        method,
        headers,
        ...(body === "" ? {} : { body }),
      });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function twice(options: Options): Promise<Outcome> {
  await using route = new Route(options);
  const { ask } = await route.worker();
  await ask();
  await ask();
  return route.outcome();
}

/** Thrown, or answered: to the ledger a failure is a failure. */
async function fails(): Promise<Outcome> {
  const thrown = await twice({ first: "throw" });
  const answered = await twice({ first: "fail" });
  assertEquals(thrown.runs, answered.runs);
  return { ...thrown, told: [...thrown.told, ...answered.told] };
}

async function lost(): Promise<Outcome> {
  await using route = new Route({ takes: 200 });
  const { ask } = await route.worker();
  const leaving = new AbortController();
  const asked = ask({ signal: leaving.signal }).catch(() => {});
  await route.begun(1);
  leaving.abort();
  await asked;
  const told = await untilSettled(ask);
  return { runs: route.runs(), told: [told] };
}

async function atOnce(options: Options): Promise<Outcome> {
  await using route = new Route({ takes: 800, ...options });
  const workers = [await route.worker(), await route.worker()];
  await Promise.all(workers.map(({ ask }) => ask()));
  return route.outcome();
}

async function dies(config: WorkerSettings["config"]): Promise<Outcome> {
  await using route = new Route({ first: "exit", config });
  const [doomed, other] = [await route.worker(), await route.worker()];
  const asked = doomed.ask().catch(() => {});
  // While the lease still lasts.
  await route.begun(1);
  await untilSettled(other.ask);
  await asked;
  return route.outcome();
}

async function freezes(config: WorkerSettings["config"]): Promise<Outcome> {
  await using route = new Route({ takes: 1_500, config });
  const [frozen, other] = [await route.worker(), await route.worker()];
  const late = frozen.ask();
  await route.begun(1);
  frozen.process.kill("SIGSTOP");
  await sleep(LEASE_MS + 300);
  await untilSettled(other.ask);
  frozen.process.kill("SIGCONT");
  await late;
  await untilSettled(other.ask);
  return route.outcome();
}

async function kills(): Promise<Outcome> {
  const config = { maxAttempts: 2 };
  await using route = new Route({ first: "exit", always: true, config });
  const workers = [
    await route.worker(),
    await route.worker(),
    await route.worker(),
  ];
  for (const { ask } of workers) await untilSettled(ask).catch(() => {});
  return route.outcome();
}

async function downBefore(config: WorkerSettings["config"]): Promise<Outcome> {
  await using ledger = gateway(() => false);
  return await twice({ url: ledger.url, config });
}

async function downAfter(config: WorkerSettings["config"]): Promise<Outcome> {
  let isUp = false;
  await using ledger = gateway((path) =>
    isUp || path.endsWith("/idempotency_claim")
  );
  await using route = new Route({
    url: ledger.url,
    config: { ...OUTLASTS_RECORD, ...config },
  });
  const { ask } = await route.worker();
  await ask();
  isUp = true;
  await untilSettled(ask);
  return route.outcome();
}

async function expired(): Promise<Outcome> {
  await using route = new Route({ config: { ttlSeconds: 1 } });
  const { ask } = await route.worker();
  await ask();
  await sleep(1_100);
  await ask();
  return route.outcome();
}

/** By what goes wrong and under which setting, as the table has it. */
const SCENARIOS: Record<string, () => Promise<Outcome>> = {
  "the answer is lost on the way | any": lost,
  'both requests arrive at once | onConcurrent: "reject"': () => atOnce({}),
  'both requests arrive at once | onConcurrent: "wait"': () =>
    atOnce({ config: { onConcurrent: "wait" } }),
  "the handler throws or answers 500 | any": fails,
  'the worker dies in the middle | onAbandoned: "retry"': () => dies({}),
  'the worker dies in the middle | onAbandoned: "refuse"': () =>
    dies({ onAbandoned: "refuse" }),
  'the worker freezes, and wakes after its lease | onAbandoned: "retry"': () =>
    freezes({}),
  'the worker freezes, and wakes after its lease | onAbandoned: "refuse"': () =>
    freezes({ onAbandoned: "refuse" }),
  "each run kills its worker | maxAttempts: 2": kills,
  'the ledger is down at the start | onLedgerDown: "reject"': () =>
    downBefore({}),
  'the ledger is down at the start | onLedgerDown: "run"': () =>
    downBefore({ onLedgerDown: "run" }),
  'the ledger is down at the end | onAbandoned: "retry"': () => downAfter({}),
  'the ledger is down at the end | onAbandoned: "refuse"': () =>
    downAfter({ onAbandoned: "refuse" }),
  "the retry comes after the key expired | ttlSeconds": expired,
};

interface Row {
  readonly name: string;
  readonly runs: number;
  readonly told: string;
}

/** The rows of the README's table; an empty first cell repeats the one above. */
async function table(): Promise<Row[]> {
  const readme = new URL("../../README.md", import.meta.url);
  const [, body] = /^\| what goes wrong .*\n\|[ |-]+\n((?:\|.*\n)+)/m
    .exec(await Deno.readTextFile(readme))!;
  let wrong = "";
  return body!.trimEnd().split("\n").map((line) => {
    const [failure, setting, runs, told] = line.split("|").slice(1, -1)
      .map((cell) => cell.trim()) as [string, string, string, string];
    wrong = failure || wrong;
    const [option] = setting.replaceAll("`", "").split(/,| \(/);
    return { name: `${wrong} | ${option}`, runs: Number(runs), told };
  });
}

const sorted = (texts: Iterable<string>) => [...new Set(texts)].sort();

Deno.test("each row of the README's table of what goes wrong holds, and there is no other row", async (t) => {
  const rows = await table();
  assertEquals(
    rows.map(({ name }) => name).sort(),
    Object.keys(SCENARIOS).sort(),
  );
  // Most of them wait for a lease: together they take little longer than the longest.
  const queue = [...rows];
  const outcomes = new Map<string, Outcome | Error>();
  const lane = async () => {
    for (let row = queue.shift(); row; row = queue.shift()) {
      const outcome = SCENARIOS[row.name]!().catch((error: Error) => error);
      outcomes.set(row.name, await outcome);
    }
  };
  await Promise.all(Array.from({ length: 6 }, lane));

  for (const { name, runs, told } of rows) {
    await t.step(name, () => {
      const outcome = outcomes.get(name)!;
      if (outcome instanceof Error) throw outcome;
      const seen = JSON.stringify(outcome.told);
      assertEquals(outcome.runs, runs, seen);
      assertEquals(
        sorted(told.match(/\b[45]\d\d\b(?: `[A-Z_]+`)?/g) ?? []),
        sorted(
          outcome.told.filter(({ status }) => status >= 400)
            .map(({ status, code }) =>
              code ? `${status} \`${code}\`` : `${status}`
            ),
        ),
        seen,
      );
      assertEquals(
        told.includes("`X-Idempotency-Replay`"),
        outcome.told.some(({ replayed }) => replayed),
        seen,
      );
      assertEquals(
        /second run|each run/.test(told),
        outcome.told.some(({ run }) => run === 2),
        seen,
      );
      assert(outcome.told.length > 0);
    });
  }
});
