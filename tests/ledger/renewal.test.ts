import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { unique } from "../support/probe.ts";

// Each call below is a session of its own, as in sessions.test.ts.
const SESSIONS = 60;
const TAKEOVERS = 50;
const ROUNDS = 12;

let sql: postgres.Sql;
Deno.test.beforeAll(() => {
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: SESSIONS });
});
Deno.test.afterAll(() => sql.end());

interface Answer {
  outcome: string;
  attempt: number | null;
  steps: Record<string, unknown> | null;
}

interface Claimed extends Answer {
  owner: string;
}

async function claim(
  key: string,
  owner: string = crypto.randomUUID(),
): Promise<Claimed> {
  const [row] = await sql<Answer[]>`
    select * from public.idempotency_claim(
      '', 'renewal', ${key}, ${"a".repeat(64)}, ${owner}, 60, 3600)`;
  return { ...row!, owner };
}

async function renew(key: string, owner: string, lease = 60): Promise<string> {
  const [row] = await sql<Answer[]>`
    select * from public.idempotency_renew('', 'renewal', ${key}, ${owner}, ${lease})`;
  return row!.outcome;
}

async function checkpoint(
  key: string,
  owner: string,
  step: string,
  result: postgres.JSONValue,
): Promise<string> {
  const [row] = await sql<Answer[]>`
    select * from public.idempotency_checkpoint(
      '', 'renewal', ${key}, ${owner}, ${step}, ${sql.json(result)}, 60)`;
  return row!.outcome;
}

/** Answers the SQLSTATE where the resolution was refused. */
async function resolve(key: string): Promise<string> {
  try {
    const [row] = await sql<Answer[]>`
      select * from public.idempotency_resolve(
        '', 'renewal', ${key}, 'completed', 200, 'by hand')`;
    return row!.outcome;
  } catch (error) {
    if (error instanceof postgres.PostgresError) return error.code;
    throw error;
  }
}

async function lapse(key: string): Promise<void> {
  await sql`update public.idempotency_keys
    set lease_expires_at = now() - interval '1 second' where idempotency_key = ${key}`;
}

async function expire(key: string): Promise<void> {
  await sql`update public.idempotency_keys
    set lease_expires_at = now() - interval '2 seconds', expires_at = now() - interval '1 second'
    where idempotency_key = ${key}`;
}

async function ownerOf(key: string): Promise<string> {
  const [row] = await sql<{ owner_token: string }[]>`
    select owner_token from public.idempotency_keys where idempotency_key = ${key}`;
  return row!.owner_token;
}

const granted = (claims: Claimed[]) =>
  claims.filter(({ outcome }) =>
    outcome === "claimed" || outcome === "taken_over"
  );

const times = <T>(count: number, work: (n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, n) => work(n)));

/** Either the owner kept the key and nobody got it, or one got it and the owner lost it. */
async function assertOneOwner(
  key: string,
  owner: string,
  renewals: string[],
  claims: Claimed[],
): Promise<void> {
  const [winner, ...others] = granted(claims);
  assertEquals(others.length, 0);
  // A key that expired begins anew: whoever had it before is a stranger to it.
  const isNew = winner?.outcome === "claimed";
  const lost = isNew ? "gone" : "lost";
  assertEquals(new Set(renewals), new Set([winner ? lost : "renewed"]));
  assertEquals(await ownerOf(key), winner?.owner ?? owner);
}

/** Starts the owner's calls among the others, earlier or later with each round. */
async function race<T>(
  key: string,
  round: number,
  ownersCall: () => Promise<T>,
): Promise<{ own: T[]; claims: Claimed[] }> {
  const early = Math.floor((round / ROUNDS) * TAKEOVERS);
  const first = times(early, () => claim(key));
  const own = times(SESSIONS - TAKEOVERS, ownersCall);
  const last = times(TAKEOVERS - early, () => claim(key));
  return { own: await own, claims: [...await first, ...await last] };
}

Deno.test("50 takeovers beside the renewals of a late owner: never two owners", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const key = unique("takeover");
    const { owner } = await claim(key);
    await lapse(key);
    const { own, claims } = await race(key, round, () => renew(key, owner));
    await assertOneOwner(key, owner, own, claims);
  }
});

Deno.test("50 claims of an expired key beside the renewals of its owner: never two owners", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const key = unique("expired");
    const { owner } = await claim(key);
    await expire(key);
    const { own, claims } = await race(key, round, () => renew(key, owner));
    await assertOneOwner(key, owner, own, claims);
  }
});

Deno.test("50 takeovers beside the steps of a late owner: a step is recorded for who runs, or not at all", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const key = unique("step");
    const { owner } = await claim(key);
    await lapse(key);
    const { own, claims } = await race(
      key,
      round,
      () => checkpoint(key, owner, "charge", "of the late owner"),
    );
    const [winner, ...others] = granted(claims);
    assertEquals(others.length, 0);
    assertEquals(new Set(own), new Set([winner ? "lost" : "recorded"]));
    if (winner) assertEquals(winner.steps, null);
  }
});

Deno.test("a resolution beside takeovers and renewals: one of the three decides", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const key = unique("resolve");
    const { owner } = await claim(key);
    await lapse(key);
    const [resolutions, { own, claims }] = await Promise.all([
      times(5, () => resolve(key)),
      race(key, round, () => renew(key, owner)),
    ]);
    const resolved = resolutions.includes("completed");
    const winners = granted(claims).length;
    const renewed = own.includes("renewed");
    assertEquals(Number(resolved) + winners + Number(renewed), 1);
    assertEquals(
      new Set(resolutions),
      new Set([resolved ? "completed" : "IDK01"]),
    );
    if (resolved) {
      assert(own.every((outcome) => outcome === "replay"));
      assert(claims.every(({ outcome }) => outcome === "replay"));
    }
  }
});

Deno.test("60 steps recorded at once by one attempt: none is lost", async () => {
  const key = unique("steps");
  const { owner } = await claim(key);
  const outcomes = await times(
    SESSIONS,
    (n) => checkpoint(key, owner, `step ${n}`, n),
  );
  assert(outcomes.every((outcome) => outcome === "recorded"));
  await lapse(key);
  const { steps } = await claim(key);
  assertEquals(
    steps,
    Object.fromEntries(
      Array.from({ length: SESSIONS }, (_, n) => [`step ${n}`, n]),
    ),
  );
});

Deno.test("one step recorded at once with 60 results: one of them stays", async () => {
  const key = unique("first");
  const { owner } = await claim(key);
  await times(SESSIONS, (n) => checkpoint(key, owner, "charge", n));
  const before = (await claim(key, owner)).steps;
  await times(SESSIONS, (n) => checkpoint(key, owner, "charge", n + SESSIONS));
  assertEquals((await claim(key, owner)).steps, before);
});
