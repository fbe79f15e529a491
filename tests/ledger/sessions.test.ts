import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { unique } from "../support/probe.ts";
import { withStack } from "../support/stack.ts";

// Each call below is a session of its own: a race inside one transaction, or
// behind one connection, shows nothing.
const SESSIONS = 50;

withStack();
let sql: postgres.Sql;

Deno.test.beforeAll(() => {
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: SESSIONS });
});
Deno.test.afterAll(() => sql.end());

interface Answer {
  outcome: string;
  attempt: number | null;
  fence: string | null;
}

async function claim(
  key: string,
  owner = crypto.randomUUID(),
  lease = 60,
): Promise<Answer> {
  const [row] = await sql<Answer[]>`
    select * from public.idempotency_claim(
      '', 'race', ${key}, ${"a".repeat(64)}, ${owner}, ${lease}, 3600,
      'retry', 100)`;
  return row!;
}

async function complete(
  key: string,
  owner: string,
  body: string,
): Promise<Answer> {
  const [row] = await sql<Answer[]>`
    select * from public.idempotency_complete(
      '', 'race', ${key}, ${owner}, 200, ${body}, 'text', '{}'::jsonb, 3600)`;
  return row!;
}

async function lapse(key: string): Promise<void> {
  await sql`update public.idempotency_keys
    set lease_expires_at = now() - interval '1 second' where idempotency_key = ${key}`;
}

async function expire(key: string): Promise<void> {
  await sql`update public.idempotency_keys
    set expires_at = now() - interval '1 second', lease_expires_at = lease_expires_at - interval '1 day'
    where idempotency_key = ${key}`;
}

const granted = (answers: Answer[]) =>
  answers.filter(({ outcome }) =>
    outcome === "claimed" || outcome === "taken_over"
  );

const many = <T>(work: () => Promise<T>) =>
  Promise.all(Array.from({ length: SESSIONS }, work));

Deno.test("of 50 sessions that claim a fresh key one gets it", async () => {
  for (let round = 0; round < 20; round++) {
    const key = unique("fresh");
    assertEquals(granted(await many(() => claim(key))).length, 1);
  }
});

Deno.test("of 50 sessions that find a lapsed lease one takes it over", async () => {
  for (let round = 0; round < 20; round++) {
    const key = unique("lapsed");
    await claim(key);
    await lapse(key);
    const [winner, ...others] = granted(await many(() => claim(key)));
    assertEquals([winner?.attempt, others.length], [2, 0]);
  }
});

Deno.test("of 50 sessions that find an expired key one gets it", async () => {
  for (let round = 0; round < 20; round++) {
    const key = unique("expired");
    const owner = crypto.randomUUID();
    await claim(key, owner);
    await complete(key, owner, "old");
    await expire(key);
    const [winner, ...others] = granted(await many(() => claim(key)));
    assertEquals([winner?.attempt, others.length], [1, 0]);
  }
});

Deno.test("a late owner and 50 who take over: one answer is recorded", async () => {
  for (let round = 0; round < 20; round++) {
    const key = unique("late");
    const late = crypto.randomUUID();
    await claim(key, late);
    await lapse(key);
    const [settled, ...claims] = await Promise.all([
      complete(key, late, "late"),
      ...Array.from({ length: SESSIONS - 1 }, () => claim(key)),
    ]);
    const takenOver = granted(claims).length;
    assertEquals(settled.outcome === "completed" ? 0 : 1, takenOver);
    if (settled.outcome === "completed") {
      assert(
        claims.every(({ outcome }) =>
          ["replay", "in_progress"].includes(outcome)
        ),
      );
    } else {
      assertEquals(settled.outcome, "lost");
    }
  }
});

Deno.test("cleanup beside claims of the same expired keys never deletes a live lease", async () => {
  const keys = Array.from({ length: 200 }, () => unique("purge"));
  for (const key of keys) {
    const owner = crypto.randomUUID();
    await claim(key, owner);
    await complete(key, owner, "old");
    await expire(key);
  }
  const owners = new Map(keys.map((key) => [key, crypto.randomUUID()]));
  await Promise.all([
    ...keys.map(async (key) => {
      assertEquals((await claim(key, owners.get(key))).outcome, "claimed");
    }),
    ...Array.from(
      { length: 10 },
      () => sql`select public.cleanup_expired_idempotency_keys(7)`,
    ),
  ]);
  for (const key of keys) {
    assertEquals(
      (await complete(key, owners.get(key)!, "new")).outcome,
      "completed",
    );
  }
});

Deno.test("of 50 claims by one owner token, sent at once and again, each is granted, as one attempt", async () => {
  const key = unique("again");
  const owner = crypto.randomUUID();
  const answers = [
    ...await many(() => claim(key, owner)),
    await claim(key, owner),
  ];
  assertEquals(granted(answers).length, SESSIONS + 1);
  assertEquals(new Set(answers.map(({ attempt }) => attempt)), new Set([1]));
  assertEquals(new Set(answers.map(({ fence }) => fence)).size, 1);
  assertEquals((await claim(key)).outcome, "in_progress");
  assertEquals((await complete(key, owner, "done")).outcome, "completed");
});

Deno.test("fences only ever grow, whoever claims", async () => {
  const key = unique("fence");
  let last = 0n;
  for (let attempt = 1; attempt <= 20; attempt++) {
    const [winner] = granted(await many(() => claim(key)));
    assertEquals(winner?.attempt, attempt);
    const fence = BigInt(winner?.fence ?? 0);
    assert(fence > last);
    last = fence;
    await lapse(key);
  }
});
