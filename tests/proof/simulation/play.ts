import { equal } from "@std/assert";
import { openBooks } from "./books.ts";
import { type Call, isGranted, nameOf, type Result, tokenOf } from "./call.ts";
import { HangsError, watch } from "./hang.ts";
import type {
  Event,
  Forgery,
  Schedule,
  Surroundings,
  Version,
} from "./schedule.ts";

/** A ledger to simulate, with what only tests can do to it. */
export interface Subject {
  /** As `deno task simulate --ledger` takes it. */
  readonly name: "memory" | "redis" | "sql";
  readonly surroundings: Surroundings;
  /**
   * Whether a call may be made before the one before it was answered: on a
   * database the trips then overlap.
   */
  readonly overlaps: boolean;
  /**
   * Empties the ledger, for the schedule of this seed, and takes an upgrade
   * back.
   */
  clear(seed: number): Promise<void> | void;
  /** Calls are decided in the order in which they are made. */
  call(call: Call, version: Version): Promise<Result>;
  moveClock(seconds: number): Promise<unknown> | void;
  purge(): Promise<unknown> | void;
  /**
   * Tries a forgery as this signed-in user.
   *
   * @returns The SQLSTATE of the refusal; `null` when there was none.
   */
  forge(userId: string, forgery: Forgery): Promise<string | null> | string;
  /** Moves the schema on to its next version. */
  upgrade(): Promise<unknown> | void;
}

/** Permission denied: before anything was looked at. */
export const REFUSED = "42501";

/** A schedule that a ledger did not pass. */
export interface Failure {
  readonly schedule: Schedule;
  /** Where in it, from 0. */
  readonly at: number;
  /** Whether it got no further: played again it would hang again. */
  readonly hangs: boolean;
  /** What was wrong, then the schedule. */
  readonly report: string;
}

/** Plays a schedule; `null` when all is as it ought to be. */
export async function play(
  schedule: Schedule,
  subject: Subject,
  tally?: Map<string, number>,
): Promise<Failure | null> {
  for (let tries = 1;; tries++) {
    const start = performance.now();
    const answers = await answersTo(schedule, subject);
    const seconds = (performance.now() - start) / 1000;
    const failure = audit(schedule, answers, tally);
    // A database's clock ran on meanwhile, on a busy machine for too long.
    const late = seconds > SECONDS_OF_PLAY && tries < 5;
    if (failure === null || failure.hangs || !late) return failure;
  }
}

/** Whether a ledger that answers as its model does passes a schedule. */
export function isSound(schedule: Schedule): boolean {
  const answers = schedule.events.map((event) =>
    event.kind === "call"
      ? event.expected
      : event.kind === "forge"
      ? REFUSED
      : undefined
  );
  return audit(schedule, answers, undefined) === null;
}

type Answered = Result | Error | string | null | undefined;

function audit(
  schedule: Schedule,
  answers: readonly Answered[],
  tally: Map<string, number> | undefined,
): Failure | null {
  const books = openBooks();
  // The model numbers fences from 1, and a ledger as it likes.
  const fences = new Map<number, number>();
  for (const [at, event] of schedule.events.entries()) {
    const answered = answers[at];
    try {
      if (event.kind === "call") {
        if (!isResult(answered)) throw answered;
        const { expected } = event;
        if (!agree(expected, answered, fences)) {
          throw new Error(
            `expected ${describeResult(expected)}, got ${
              describeResult(answered)
            }`,
          );
        }
        count(tally, event.call, answered);
        books.enter(event, answered);
      } else {
        if (answered instanceof Error) throw answered;
        if (event.kind === "forge") {
          if (answered !== REFUSED) {
            throw new Error(
              `a forgery was answered ${answered ?? "with success"}`,
            );
          }
        }
        countUp(tally, nameOfEvent(event));
        books.enter(event);
      }
    } catch (error) {
      const hangs = error instanceof HangsError;
      return { schedule, at, hangs, report: describe(schedule, at, error) };
    }
  }
  return null;
}

async function answersTo(
  { seed, events }: Schedule,
  subject: Subject,
): Promise<Answered[]> {
  const answers: Promise<Answered>[] = [];
  using watched = watch(seed);
  await subject.clear(seed);
  for (const event of events) {
    const answer = Promise.race([answerTo(event, subject), watched.hung]);
    answers.push(answer);
    if (!subject.overlaps) await answer;
  }
  const answered = await Promise.all(answers);
  if (events.some(({ kind }) => kind === "upgrade")) await subject.clear(seed);
  return answered;
}

async function answerTo(event: Event, subject: Subject): Promise<Answered> {
  try {
    if (event.kind === "call") {
      return await subject.call(event.call, event.version);
    }
    if (event.kind === "clock") await subject.moveClock(event.seconds);
    if (event.kind === "purge") await subject.purge();
    if (event.kind === "upgrade") await subject.upgrade();
    if (event.kind === "forge") {
      return await subject.forge(event.userId, event.forgery);
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function isResult(answered: Answered): answered is Result {
  return typeof answered === "object" && answered !== null &&
    "outcome" in answered;
}

// All that is moved or set is this far from any moment that decides something.
const SECONDS_OF_PLAY = 2;

function agree(
  expected: Result,
  answered: Result,
  fences: Map<number, number>,
): boolean {
  if (isGranted(expected) && isGranted(answered)) {
    const fence = fences.get(expected.fence) ?? answered.fence;
    fences.set(expected.fence, fence);
    return equal({ ...expected, fence }, answered);
  }
  if (
    expected.outcome === "in_progress" && answered.outcome === "in_progress"
  ) {
    const early = expected.retryAfterSeconds - answered.retryAfterSeconds;
    return early >= 0 && early <= SECONDS_OF_PLAY;
  }
  return equal(expected, answered);
}

/** Counts what was seen, so that a simulation of nothing is noticed. */
function count(
  tally: Map<string, number> | undefined,
  call: Call,
  answered: Result,
): void {
  const again = answered.outcome === "claimed" && answered.attempt > 1;
  countUp(tally, `${call.method}: ${answered.outcome}${again ? " again" : ""}`);
}

function countUp(tally: Map<string, number> | undefined, name: string): void {
  tally?.set(name, (tally.get(name) ?? 0) + 1);
}

/** What happened, whoever it was. */
function nameOfEvent(event: Exclude<Event, { kind: "call" }>): string {
  if (event.kind === "forge") return "forge: refused";
  if (event.kind !== "note") return `event: ${event.kind}`;
  return `event: ${event.text.replace(/^client \d+:? /, "")}`;
}

function describe(
  { seed, events, numbers }: Schedule,
  at: number,
  error: unknown,
) {
  let clock = 0;
  const lines = events.map((event, n) => {
    if (event.kind === "clock") clock += event.seconds;
    const mark = n === at ? ">>>" : "   ";
    return `${mark} ${String(numbers?.[n] ?? n).padStart(3)} ${
      clock.toFixed(1).padStart(7)
    } s  ${describeEvent(event)}`;
  });
  const why = error instanceof Error ? error.message : String(error);
  const number = numbers?.[at] ?? at;
  return `seed ${seed}, event ${number}: ${why}\n${lines.join("\n")}`;
}

function describeEvent(event: Event): string {
  switch (event.kind) {
    case "note":
      return event.text;
    case "purge":
      return "purge";
    case "upgrade":
      return "the schema moves on";
    case "clock":
      return `the clock moves ${event.seconds} s`;
    case "effect":
      return `effect of ${short(event.ownerToken)} on ${
        nameOf(event.identity)
      }${event.step === null ? "" : `, step ${event.step}`}`;
    case "forge": {
      const { forgery } = event;
      const what = forgery.kind === "call"
        ? describeCall(forgery.call)
        : `${forgery.kind} ${nameOf(forgery.identity)}`;
      return `user ${event.userId.slice(-1)} forges: ${what}`;
    }
    case "call":
      return `client ${event.client}${
        event.version === "new" ? ", new module" : ""
      }: ${describeCall(event.call)} -> ${describeResult(event.expected)}${
        event.heard ? "" : " (unheard)"
      }`;
  }
}

function describeCall(call: Call): string {
  const who = tokenOf(call);
  const what = `${call.method} ${nameOf(call.identity)}${
    who === null ? "" : ` as ${short(who)}`
  }`;
  switch (call.method) {
    case "claim": {
      const {
        fingerprint,
        leaseSeconds,
        ttlSeconds,
        onAbandoned,
        maxAttempts,
      } = call.terms;
      return `${what} payload ${
        fingerprint[0]
      } lease ${leaseSeconds} ttl ${ttlSeconds} ${onAbandoned} of ${maxAttempts}`;
    }
    case "renew":
      return `${what} lease ${call.leaseSeconds}`;
    case "checkpoint":
      return `${what} step ${call.step} lease ${call.leaseSeconds}`;
    case "complete":
      return `${what} ttl ${call.ttlSeconds} ${call.answer.status} ${
        call.answer.headers["x-answer"] ?? ""
      }`;
    case "fail":
      return `${what} ttl ${call.ttlSeconds}`;
    case "read":
      return what;
  }
}

function describeResult(result: Result): string {
  return JSON.stringify(
    result,
    (_, value) =>
      value instanceof Uint8Array ? new TextDecoder().decode(value) : value,
  );
}

function short(token: string): string {
  return `#${Number.parseInt(token.slice(-12), 16)}`;
}
