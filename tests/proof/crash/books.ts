import { IdempotencyError } from "../../../shared/idempotency.ts";
import { Tally } from "../trial.ts";
import type { Load } from "./load.ts";
import {
  type Access,
  type Asked,
  type Heard,
  type Mode,
  operate,
} from "./operations.ts";
import type { Provider } from "./provider.ts";

/** What must hold when the load is over and the fault is gone. */
export interface Books {
  readonly tallies: readonly Tally[];
  /** Asks for each key that anybody has asked for, and compares. */
  close(access: Access, load: Load): Promise<void>;
}

// Nothing works any more when no key has answered for so long.
const MOST_WAIT_MS = 60_000;
const LANES = 8;

/** Opens them, for all rounds of a trial. */
export function openBooks(provider: Provider): Books {
  const hearing = new Tally(
    "a request ends in an answer, or in a refusal that says why",
  );
  const answering = new Tally(
    "every key answers, or is listed for operators until they say how it ended",
  );
  const lasting = new Tally("an answer that was told never changes");
  const writing = new Tally(
    "a row is written once in one transaction with its key",
  );
  const honouring = new Tally(
    "a provider that honours a step's key does it once, and is not asked again when that is kept",
  );
  const refusing = new Tally(
    "a provider that ignores keys is called once by a route that refuses to guess",
  );
  const retrying = new Tally(
    "a provider that ignores keys is called at most once an attempt, and not left out",
  );
  const effects = {
    transaction: writing,
    steps: honouring,
    refuse: refusing,
    retry: retrying,
  };

  let modes: readonly Mode[] = [];

  return {
    get tallies() {
      const tried = modes.map((mode) => effects[mode]);
      return [hearing, answering, lasting, ...tried];
    },
    async close(access, { asked, told, errors }) {
      modes = access.modes;
      for (const { mode, key } of asked.values()) {
        const error = errors.find((error) =>
          error.startsWith(`${mode} ${key}:`)
        );
        hearing.count(error === undefined, () => error!);
      }
      const answers = new Map<string, string>();
      const queue = [...asked];
      let until = performance.now() + MOST_WAIT_MS;
      await Promise.all(Array.from({ length: LANES }, async () => {
        for (let next = queue.pop(); next; next = queue.pop()) {
          const [name, { mode, key }] = next;
          const heard = await askAgain(
            access,
            provider,
            { mode, key },
            () => performance.now() > until,
          );
          answering.count(
            "body" in heard,
            () => `${name}: ${JSON.stringify(heard)}`,
          );
          if (!("body" in heard)) continue;
          answers.set(name, heard.body);
          until = performance.now() + MOST_WAIT_MS;
        }
      }));
      for (const { mode, key, body } of told) {
        const answer = answers.get(`${mode} ${key}`);
        lasting.count(
          answer === body,
          () => `${mode} ${key}: told ${body}, now ${answer}`,
        );
      }
      const rows = await rowsOf(access);
      const calls = Map.groupBy(
        provider.calls,
        ({ mode, key }) => `${mode} ${key}`,
      );
      for (const [name, answer] of answers) {
        const { mode, key } = asked.get(name)!;
        const called = calls.get(name) ?? [];
        const attempts = called.map(({ attempt }) => attempt);
        const jobs = new Set(called.map(({ job }) => job));
        const held = {
          transaction: () => rows.get(key) === 1,
          steps: () =>
            jobs.size === 1 && answer.startsWith(`${key} job ${[...jobs]} `) &&
            !provider.late.some((call) => call.key === key),
          refuse: () => attempts.length === 1,
          retry: () =>
            attempts.length > 0 && new Set(attempts).size === attempts.length,
        }[mode]();
        effects[mode].count(
          held,
          () =>
            `${name}: answers ${answer}, rows ${
              rows.get(key)
            }, called by attempts ${attempts}, jobs ${[...jobs]}`,
        );
      }
      provider.forget();
    },
  };
}

/** Asks as a client with patience does, and an operator where it takes one. */
async function askAgain(
  access: Access,
  provider: Provider,
  asked: Asked,
  isOver: () => boolean,
): Promise<Heard> {
  for (;;) {
    let heard: Heard;
    try {
      heard = await operate(
        access,
        provider.url,
        asked,
        () => Promise.resolve(),
      );
    } catch (error) {
      if (!(error instanceof IdempotencyError)) throw error;
      heard = { refused: error.code };
    }
    if ("body" in heard || isOver()) return heard;
    if (heard.refused === "OUTCOME_UNKNOWN") {
      // They look whether it happened. Its worker is dead, and cannot do it yet.
      const { mode, key } = asked;
      const hasHappened = provider.calls.some((call) =>
        call.mode === mode && call.key === key
      );
      const answer = hasHappened ? `${key} resolved` : null;
      if (!await access.settle(asked, answer)) return { refused: "not listed" };
    }
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

/** How often each key has its row. */
async function rowsOf({ sql }: Access): Promise<Map<string, number>> {
  if (sql === null) return new Map();
  const rows = await sql<{ key: string; count: number }[]>`
    select key, count(*)::int as count from public.crash_effects group by key`;
  await sql`truncate public.crash_effects`;
  return new Map(rows.map(({ key, count }) => [key, count]));
}
