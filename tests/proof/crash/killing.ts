import type { Random } from "../simulation/random.ts";
import type { Mode } from "./operations.ts";

/** An answer that a client got before its worker died. */
export interface Told {
  readonly mode: Mode;
  readonly key: string;
  readonly body: string;
}

/** What {@link killWorkers} did. */
export interface Carnage {
  readonly kills: number;
  /** How many of the killed had been stopped for longer than a lease before. */
  readonly stalls: number;
  readonly told: Told[];
  /** What workers complained about, other than being refused. */
  readonly errors: string[];
}

const WORKERS_AT_ONCE = 6;
const STALL_MS = 1_500;
// After its first answer: starting takes longer than anything that matters.
const MOST_LIFE_MS = 250;
const MOST_START_MS = 15_000;

/**
 * Starts workers and kills each at a random moment, until both are reached.
 *
 * @param worker The module of a worker, which is given `url`.
 */
export async function killWorkers(
  worker: URL,
  url: string,
  random: Random,
  { kills: wanted, seconds }: { kills: number; seconds: number },
): Promise<Carnage> {
  const start = Date.now();
  const told: Told[] = [];
  const errors: string[] = [];
  let kills = 0;
  let stalls = 0;

  const live = async () => {
    const life = random.below(MOST_LIFE_MS);
    const stalled = random.chance(0.1);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--no-check",
        "--quiet",
        worker.href,
        url,
        String(random.below(0xffff_ffff)),
        String(start),
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const began = Promise.withResolvers<void>();
    const reading = readLines(child.stdout, (line) => {
      began.resolve();
      const read = JSON.parse(line);
      if ("error" in read) errors.push(read.error);
      else told.push(read);
    });
    const tooLong = setTimeout(began.resolve, MOST_START_MS);
    await Promise.race([began.promise, child.status]);
    clearTimeout(tooLong);
    await sleep(life);
    if (stalled) {
      // A zombie: it loses its leases, and goes on for a moment all the same.
      child.kill("SIGSTOP");
      await sleep(STALL_MS);
      child.kill("SIGCONT");
      await sleep(life);
      stalls++;
    }
    child.kill("SIGKILL");
    await child.status;
    await reading;
    kills++;
  };
  const lane = async () => {
    while (kills < wanted && Date.now() - start < seconds * 1000) await live();
  };
  await Promise.all(Array.from({ length: WORKERS_AT_ONCE }, lane));
  return { kills, stalls, told, errors };
}

/** Hands over each whole line; what a kill cut off was never sent. */
async function readLines(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(take);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
