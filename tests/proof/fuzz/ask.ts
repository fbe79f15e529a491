import fc from "fast-check";
import { Tally, type TrialLimits } from "../trial.ts";
import { judge, type Verdict } from "./answers.ts";
import {
  type Credentials,
  type FuzzedRoute,
  type OddRequest,
  type Right,
  toRaw,
} from "./requests.ts";
import { type RawAnswer, type RawRequest, sendRaw } from "./wire.ts";

/** Whoever asks: rows of theirs, and the requests that are right for them. */
export interface People {
  readonly credentials: Credentials;
  rightOf(route: FuzzedRoute): Promise<Right>;
}

/** What is asked odd things. */
export interface Target {
  readonly port: number;
  readonly requests: fc.Arbitrary<OddRequest>;
  /** Names that no refusal may tell. */
  readonly names: RegExp;
  /** Whether each request that was stored is sent again. */
  readonly again: boolean;
  /** Others than before. */
  people(): Promise<People>;
}

/** What webhooks of the trial are signed with. */
export const STRIPE_SECRET = "whsec_of_the_trial";

// Nothing that is asked takes a second; a machine that is busy takes a few.
const WITHIN_MS = 60_000;

// Longer than a breaker refuses.
const PAUSE_MS = 4_000;
const TRIES = 6;

// As many as a browser has connections.
const LANES = 6;

// A user may hold 10,000 live keys, and a token is good for an hour.
const REQUESTS_OF_ONE_USER = 3_000;

/** Asks odd things until the time is up. */
export async function askOddly(
  target: Target,
  { seed, seconds }: TrialLimits,
): Promise<readonly Tally[]> {
  const tallies = {
    answered: new Tally("every whole request is answered within a minute"),
    unbroken: new Tally("no answer is a 5xx while the database is there"),
    discreet: new Tally("no refusal tells of stacks, files, tables or SQL"),
    told: new Tally("every refusal is a problem document"),
  } satisfies Record<keyof Verdict, Tally>;
  const again = new Tally("what was stored is the answer to the same request");
  const until = performance.now() + seconds * 1000;
  const { port, names } = target;
  let people = target.people();
  let asked = 0;

  const lane = async (): Promise<void> => {
    while (performance.now() < until) {
      const number = asked++;
      if (number > 0 && number % REQUESTS_OF_ONE_USER === 0) {
        people = target.people();
      }
      // One by one: the same seed and number make the same request.
      const [odd] = fc.sample(target.requests, {
        seed: seed + number,
        numRuns: 1,
      });
      const { rightOf, credentials } = await people;
      const right = await rightOf(odd!.route);
      const request = toRaw(odd!, right, credentials, STRIPE_SECRET);
      const answer = await patiently(
        () => sendRaw(port, request, WITHIN_MS),
        (answer) => answer.kind === "answer" && answer.status === 503,
      );
      const said = (what: string | null) => () =>
        `seed ${seed + number}: ${what}\n${shown(request, answer)}`;
      const verdict = judge(request, answer, names);
      for (const name of Object.keys(tallies) as (keyof Verdict)[]) {
        const wrong = verdict[name];
        tallies[name].count(wrong === null, said(wrong));
      }
      if (target.again && isStored(answer)) {
        const next = await sendRaw(port, request, WITHIN_MS);
        again.count(
          next.kind === "answer" && next.status === answer.status &&
            next.body === answer.body &&
            next.headers.get("x-idempotency-replay") === "true",
          said(`again: ${JSON.stringify(next)}`),
        );
      }
    }
  };
  await quietly(() => Promise.all(Array.from({ length: LANES }, lane)));
  return [...Object.values(tallies), ...target.again ? [again] : []];
}

/**
 * Tries again what came to nothing: on a busy machine the database may be late,
 * and what a request brings about by itself it brings about each time.
 */
export async function patiently<T>(
  work: () => Promise<T>,
  isNothing: (result: T) => boolean,
): Promise<T> {
  for (let left = TRIES;; left--) {
    const result = await work();
    if (left <= 1 || !isNothing(result)) return result;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

// What is asked logs what it refuses, in this process. The console is wrapped once
// and for good: tracing takes it over as it finds it at its first line.
let isQuiet = false;
for (const method of ["error", "info", "log", "warn"] as const) {
  const print = console[method];
  console[method] = (...values: unknown[]) => {
    if (!isQuiet) print(...values);
  };
}

async function quietly(work: () => Promise<unknown>): Promise<void> {
  isQuiet = true;
  try {
    await work();
  } finally {
    isQuiet = false;
  }
}

function isStored(
  answer: RawAnswer,
): answer is RawAnswer & { kind: "answer" } {
  return answer.kind === "answer" &&
    answer.headers.get("x-idempotency-stored") === "true";
}

const SHOWN = 400;
const UNSHOWN = ["apikey", "Authorization", "X-Ops-Token"];

function shown(request: RawRequest, answer: RawAnswer): string {
  const { method, target, headers, body, framing } = request;
  const cut = (text: string) =>
    text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}… (${text.length})`;
  return [
    cut(`${framing}: ${method} ${JSON.stringify(target)}`),
    ...headers.filter(([name]) => !UNSHOWN.includes(name))
      .map(([name, value]) => cut(JSON.stringify(`${name}: ${value}`))),
    cut(JSON.stringify(new TextDecoder().decode(body ?? undefined))),
    answer.kind === "answer"
      ? cut(`→ ${answer.status} ${JSON.stringify(answer.body)}`)
      : `→ ${answer.kind}`,
  ].join("\n");
}
