import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { unique } from "../support/probe.ts";

const SESSIONS = 20;
const KEYS = 60;
const ROUNDS = 10;

let sql: postgres.Sql;
Deno.test.beforeAll(() => {
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: SESSIONS });
});
Deno.test.afterAll(() => sql.end());

interface Item {
  idempotency_key: string;
  outcome: string;
  error_code: string | null;
}

interface Request extends Record<string, string> {
  key: string;
  fingerprint: string;
  owner_token: string;
}

const request = (key: string): Request => ({
  key,
  fingerprint: "a".repeat(64),
  owner_token: crypto.randomUUID(),
});

function shuffled<T>(items: readonly T[]): T[] {
  return items.map((item) => [Math.random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

/** Two thirds of the keys, in any order: any two batches share some. */
const someOf = (keys: readonly string[]) =>
  shuffled(keys).slice(0, Math.ceil(keys.length * 2 / 3)).map(request);

const claimMany = (requests: Request[], owner = "") =>
  sql<Item[]>`
    select * from public.idempotency_claim_many(
      ${owner}, 'batch', ${sql.json(requests)}, 60, 3600)`;

const settleMany = (settlements: postgres.JSONValue) =>
  sql<Item[]>`
    select * from public.idempotency_settle_many(
      '', 'batch', ${sql.json(settlements)}, 3600, 600)`;

const keysNamed = (prefix: string, count = KEYS) =>
  Array.from({ length: count }, () => unique(prefix));

/** How often each key was granted. */
function grants(answers: Iterable<Item>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { idempotency_key: key, outcome } of answers) {
    const more = outcome === "claimed" || outcome === "taken_over" ? 1 : 0;
    counts.set(key, (counts.get(key) ?? 0) + more);
  }
  return counts;
}

Deno.test("20 batches that share keys, in any order: no deadlock, each key granted once", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const keys = keysNamed("shared");
    const answers = await Promise.all(
      Array.from({ length: SESSIONS }, () => claimMany(someOf(keys))),
    );
    for (const [key, count] of grants(answers.flat())) {
      assertEquals(count, 1, key);
    }
    const outcomes = new Set(answers.flat().map(({ outcome }) => outcome));
    assertEquals(outcomes, new Set(["claimed", "in_progress"]));
  }
});

Deno.test("20 batches of claims beside 20 of settlements of the same keys: no deadlock, one answer a key", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const keys = keysNamed("settled");
    const requests = keys.map(request);
    await claimMany(requests);
    await sql`update public.idempotency_keys set lease_expires_at = now() - interval '1 second'
      where idempotency_key = any(${keys})`;
    const settlements = requests.map(({ key, owner_token }) => ({
      key,
      owner_token,
      status_code: 200,
      response: "late",
      response_encoding: "text",
      response_headers: null,
    }));
    const half = SESSIONS / 2;
    const [claims, settled] = await Promise.all([
      Promise.all(Array.from({ length: half }, () => claimMany(someOf(keys)))),
      Promise.all(
        Array.from({ length: half }, () => settleMany(shuffled(settlements))),
      ),
    ]);
    const taken = grants(claims.flat());
    for (const { idempotency_key: key, outcome } of settled.flat()) {
      assertEquals(outcome, taken.get(key) === 1 ? "lost" : "completed", key);
      assert((taken.get(key) ?? 0) <= 1, key);
    }
  }
});

Deno.test("20 batches of a user at the limit, with expired keys to make room: no deadlock, each key granted at most once", async () => {
  const user = crypto.randomUUID();
  await sql`insert into auth.users (id) values (${user})`;
  const expired = keysNamed("limit", 30);
  const fresh = keysNamed("limit", 30);
  await sql`
    insert into public.idempotency_keys (owner, scope, idempotency_key, request_fingerprint, owner_token, status, completed_at, expires_at)
    select ${user}, 'batch', key, repeat('a', 64), gen_random_uuid(), 'failed', now(), now() - interval '1 hour'
    from unnest(${expired}::text[]) as key`;
  await sql`
    insert into public.idempotency_keys (owner, scope, idempotency_key, request_fingerprint, owner_token, status, completed_at, expires_at)
    select ${user}, 'filler', 'filler-' || n, repeat('a', 64), gen_random_uuid(), 'failed', now(), now() + interval '1 hour'
    from generate_series(1, 9970) as n`;
  await sql`insert into idempotency.full_owners values (${user})`;
  const answers = await Promise.all(
    Array.from(
      { length: SESSIONS },
      () => claimMany(someOf([...expired, ...fresh]), user),
    ),
  );
  for (const [key, count] of grants(answers.flat())) {
    assert(count <= 1, key);
  }
  const outcomes = answers.flat().map(({ outcome, error_code }) =>
    error_code ?? outcome
  );
  assert(outcomes.includes("claimed"));
  assert(
    outcomes.every((outcome) =>
      ["claimed", "in_progress", "PT429"].includes(outcome)
    ),
  );
});
