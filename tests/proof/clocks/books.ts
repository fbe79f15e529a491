import type postgres from "postgres";
import { Tally } from "../trial.ts";
import { perform, type Route, ROUTES } from "./operations.ts";

/** An answer that somebody was given: what its attempt did. */
export interface Told {
  readonly route: Route;
  readonly key: string;
  readonly did: string;
}

/** Who may run again although nobody died. */
export interface Allowance {
  /** Whether leases may have ended early: then a route that retries does. */
  readonly takeovers: boolean;
}

const AT_ONCE = 6;
// A claim that a busy machine gave up on holds its key for a lease.
const MOST_WAIT_MS = 120_000;

/**
 * Asks for each key once more, as its client would, and looks at what happened
 * until then. Nobody may be at work any more.
 */
export async function checkBooks(
  sql: postgres.Sql,
  told: readonly Told[],
  { takeovers }: Allowance,
): Promise<Tally[]> {
  const answered = new Tally("each key answers in the end");
  const same = new Tally("whoever asks for a key is told the same");
  const effects = new Tally("an effect happens as often as its route says");
  const fenced = new Tally("who refuses older fences keeps the recorded write");

  const keys = await sql<{ route: Route; key: string }[]>`
    select route, key from public.clock_effects where route in ${sql(ROUTES)}
    union select scope, idempotency_key from public.idempotency_keys
    where scope in ${sql(ROUTES)}`;
  const final = new Map<string, string>();
  const queue = [...keys];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = queue.pop(); next; next = queue.pop()) {
      const { route, key } = next;
      const did = await ask(sql, route, key);
      answered.count(did !== null, () => `${route} ${key}`);
      if (did !== null) final.set(`${route} ${key}`, did);
    }
  }));
  for (const { route, key, did } of told) {
    const name = `${route} ${key}`;
    same.count(
      final.get(name) === did,
      () => `${name}: ${did}, and later ${final.get(name)}`,
    );
  }

  const rows = await sql<Row[]>`
    select
      k.scope as route, k.idempotency_key as key, k.attempt as attempts,
      k.fence::float8 as fence, f.fence::float8 as fenced,
      count(e.attempt)::int as effects,
      count(distinct e.attempt)::int as attempts_with_effect
    from public.idempotency_keys as k
    left join public.clock_effects as e
      on e.route = k.scope and e.key = k.idempotency_key
    left join public.clock_fenced as f on f.key = k.scope || ' ' || k.idempotency_key
    where k.scope in ${sql(ROUTES)}
    group by k.owner, k.scope, k.idempotency_key, f.fence`;
  for (const row of rows) {
    const mayRepeat = takeovers &&
      (row.route === "retry" || row.route === "steps");
    const most = mayRepeat ? row.attempts : 1;
    effects.count(
      row.effects >= 1 && row.effects <= most &&
        row.effects === row.attempts_with_effect,
      () => JSON.stringify(row),
    );
    fenced.count(row.fenced === row.fence, () => JSON.stringify(row));
  }
  // A provider that is given the step's key does it once, also where it is asked twice.
  const [{ jobs }] = await sql<[{ jobs: number }]>`
    select count(*)::int as jobs from public.clock_jobs`;
  const steps = rows.filter(({ route }) => route === "steps").length;
  effects.count(jobs === steps, () => `${jobs} jobs of ${steps} keys`);
  return [answered, same, effects, fenced];
}

interface Row {
  readonly route: Route;
  readonly key: string;
  readonly attempts: number;
  readonly fence: number;
  readonly fenced: number | null;
  readonly effects: number;
  readonly attempts_with_effect: number;
}

/** What the key's attempt did, or `null` where it is not to be had. */
async function ask(
  sql: postgres.Sql,
  route: Route,
  key: string,
): Promise<string | null> {
  const terms = { leaseSeconds: 30, workMs: 0, fails: false };
  const deadline = performance.now() + MOST_WAIT_MS;
  do {
    const { status, body } = await perform(sql, route, key, terms);
    if (status === 200) return body.did;
    await new Promise((resolve) => setTimeout(resolve, 500));
  } while (performance.now() < deadline);
  return null;
}
