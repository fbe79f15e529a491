import { linesOf } from "../../support/lines_of.ts";
import type { Random } from "../simulation/random.ts";
import type { Asked } from "./operations.ts";
import type { Line, Work } from "./worker.ts";

/** An answer that a client got, and that no later one may differ from. */
export interface Told extends Asked {
  readonly body: string;
}

/** Traffic of several instances, each replaced when it ends. */
export interface Load {
  readonly asked: ReadonlyMap<string, Asked>;
  readonly told: readonly Told[];
  /** What clients heard that is neither an answer nor a refusal. */
  readonly errors: readonly string[];
  /** One that has told something, and that nobody else is about to kill. */
  victim(): Promise<Instance>;
  /** Waits until so many more answers are told, and says whether they were. */
  answers(more: number): Promise<boolean>;
  /** Kills all that is left. */
  end(): Promise<void>;
}

/** A process of several workers. */
export interface Instance {
  signal(signal: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void;
  readonly ended: Promise<unknown>;
}

// Nothing works any more when it is over.
const MOST_WAIT_MS = 60_000;
// Of an instance: half of them are a worker, and no more.
const WORKERS = [1, 1, 2, 3];

/** Begins it. */
export function startLoad(
  work: Omit<Work, "seed" | "startedAt">,
  random: Random,
  instances: number,
): Load {
  const startedAt = Date.now();
  const asked = new Map<string, Asked>();
  const told: Told[] = [];
  const errors: string[] = [];
  const running = new Set<Instance>();
  const ready: Instance[] = [];
  const news = new EventTarget();
  let isOver = false;

  const hear = (line: Line) => {
    if ("error" in line) errors.push(line.error);
    else if ("body" in line) {
      told.push(line);
      news.dispatchEvent(new Event("told"));
    } else asked.set(`${line.mode} ${line.key}`, line);
  };

  const live = async () => {
    const seed = random.below(0xffff_ffff);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--no-check",
        "--quiet",
        new URL("./instance.ts", import.meta.url).href,
        String(random.pick(WORKERS)),
        JSON.stringify({ ...work, seed, startedAt }),
      ],
      stdin: "null",
      stdout: "piped",
      // A ledger that is away fills it.
      stderr: "null",
    }).spawn();
    const instance: Instance = {
      signal(signal) {
        try {
          child.kill(signal);
        } catch {
          // It has ended by itself.
        }
      },
      ended: child.status,
    };
    running.add(instance);
    child.status.then(() => running.delete(instance));
    let isReady = false;
    for await (const line of linesOf(child.stdout)) {
      hear(JSON.parse(line));
      if (isReady) continue;
      isReady = true;
      ready.push(instance);
      news.dispatchEvent(new Event("ready"));
    }
    await child.status;
  };
  const lane = async () => {
    while (!isOver) await live();
  };
  const lanes = Promise.all(Array.from({ length: instances }, lane));

  /** Waits for one more piece of news, or until the time is up. */
  const next = (type: "told" | "ready", until: number) =>
    new Promise<boolean>((resolve) => {
      const done = (was: boolean) => {
        clearTimeout(timer);
        news.removeEventListener(type, heard);
        resolve(was);
      };
      const heard = () => done(true);
      const timer = setTimeout(() => done(false), until - performance.now());
      news.addEventListener(type, heard);
    });

  return {
    asked,
    told,
    errors,
    async victim() {
      for (const until = performance.now() + MOST_WAIT_MS;;) {
        for (let first = ready.shift(); first; first = ready.shift()) {
          if (running.has(first)) return first;
        }
        if (!await next("ready", until)) {
          throw new Error(`no instance has begun for ${MOST_WAIT_MS} ms`);
        }
      }
    },
    async answers(more) {
      const enough = told.length + more;
      const until = performance.now() + MOST_WAIT_MS;
      while (told.length < enough) {
        if (!await next("told", until)) return false;
      }
      return true;
    },
    async end() {
      isOver = true;
      // One that was stopped dies of this, too.
      for (const instance of running) instance.signal("SIGKILL");
      await lanes;
    },
  };
}
