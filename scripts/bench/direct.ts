import postgres from "postgres";
import {
  type IdempotencyEvent,
  postgresLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { PLAIN } from "./plain_table.ts";
import { AT_ONCE, type BenchRow, percentile, rate, takeTurns } from "./row.ts";

/** How long {@link benchDirect} takes. */
export interface DirectBenchOptions {
  /**
   * Rounds of each kind; ledger and bare statements take turns.
   *
   * @default {15}
   */
  rounds?: number;
  /**
   * Operations of one round.
   *
   * @default {2000}
   */
  operations?: number;
}

const SCOPE = "bench-direct";
const FINGERPRINT = "a".repeat(64);
const OWNER = "00000000-0000-4000-9000-000000000000";
// Users of their own, as many as connections: a shared one would make them
// queue for the lock that its foreign key takes.
const USERS = Array.from(
  { length: AT_ONCE },
  (_, n) => `00000000-0000-4000-8000-1${String(n).padStart(11, "0")}`,
);
const HEADERS = { "content-type": "application/json" };
const BODY = "x".repeat(300);
const ANSWER = {
  status: 200,
  headers: HEADERS,
  body: new TextEncoder().encode(BODY),
};

type Operation = (n: number) => Promise<unknown>;

/**
 * The throughput of the ledger over a direct connection beside bare prepared
 * statements on the same table through the same driver, 16 at once, 300-byte
 * bodies; then whole runs with somebody who listens to their events beside runs
 * without. The ratio is the median of each round over its neighbour.
 *
 * @param url A Postgres server of the bench's own, with the migrations applied.
 */
export async function benchDirect(
  url: string,
  { rounds = 15, operations = 2000 }: DirectBenchOptions = {},
): Promise<BenchRow[]> {
  const sql = postgres(url, { max: AT_ONCE, onnotice: () => {} });
  try {
    await sql`insert into auth.users ${
      sql(USERS.map((id) => ({ id })))
    } on conflict do nothing`;
    const { claim, complete, insert, update, select, run, byHand } =
      operationsOn(sql);
    await sql.unsafe(PLAIN);
    let events = 0;
    const listen = () => void events++;
    await claim("hot", 0);
    await complete("hot", 0);

    const contests: [string, Operation, Operation][] = [
      ["direct: replay", () => claim("hot", 0), () => select("hot", 0)],
      ["direct: claim+complete", async (n) => {
        const key = crypto.randomUUID();
        await claim(key, n);
        await complete(key, n);
      }, async (n) => {
        const key = crypto.randomUUID();
        await insert(key, n);
        await update(key, n);
      }],
      [
        "direct: whole replay, against hand-written",
        (n) => run(`run-${n}`, n),
        (n) => byHand(`run-${n}`, n),
      ],
      [
        "direct: whole first run, against hand-written",
        (n) => run(crypto.randomUUID(), n),
        (n) => byHand(crypto.randomUUID(), n),
      ],
      [
        "direct: whole first run, against bare statements on the ledger's table",
        (n) => run(crypto.randomUUID(), n),
        async (n) => {
          const key = crypto.randomUUID();
          await select(key, n);
          await insert(key, n);
          await update(key, n);
        },
      ],
      [
        "direct: first run, with onEvent against without",
        (n) => run(crypto.randomUUID(), n, listen),
        (n) => run(crypto.randomUUID(), n),
      ],
      [
        "direct: replay, with onEvent against without",
        () => run("run", 0, listen),
        () => run("run", 0),
      ],
    ];
    const rows: BenchRow[] = [];
    for (const [name, ledger, bare] of contests) {
      const rates: [number, number][] = [];
      // The first round prepares the statements on each connection.
      for (let round = -1; round < rounds; round++) {
        const turns = [ledger, bare];
        if (round % 2) turns.reverse();
        const pair = [];
        for (const turn of turns) pair.push(await rate(turn, operations));
        if (round % 2) pair.reverse();
        if (round >= 0) rates.push([pair[0]!, pair[1]!]);
      }
      rows.push({
        name,
        value: Math.round(median(rates.map(([ledger]) => ledger))),
        unit: "operations/s",
        baseline: Math.round(median(rates.map(([, bare]) => bare))),
        ratio: median(rates.map(([ledger, bare]) => ledger / bare)),
      });
    }
    if (events === 0) throw new Error("measuring events: none was told");
    return rows;
  } finally {
    await sql.end();
  }
}

/**
 * The latency that a key adds to a request over a direct connection, one at a
 * time: of a handler that does nothing, on its first run and replayed, beside a
 * bare `select 1` over the same connection, which is one round trip.
 *
 * @param url A Postgres server of the bench's own, with the migrations applied.
 * @param requests Of each kind; they take turns.
 */
export async function benchLatency(
  url: string,
  requests = 500,
): Promise<BenchRow[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    const [user] = USERS;
    await sql`insert into auth.users ${sql({ id: user! })}
      on conflict do nothing`;
    const handler = withIdempotency(
      { store: postgresLedger(sql), user: () => user!, scope: SCOPE },
      () => Response.json(BODY),
    );
    const ask = async (key: string) => {
      const headers = { "Idempotency-Key": key };
      const response = await handler(
        new Request("http://localhost/", {
          method: "POST",
          headers,
          body: "{}",
        }),
      );
      await response.body?.cancel();
    };
    const kinds = {
      trip: () => sql`select 1`,
      "first run": () => ask(crypto.randomUUID()),
      replay: () => ask("latency-replay"),
    };
    const times = await takeTurns(kinds, requests);
    const trip = percentile(times.trip, 50);
    return (["first run", "replay"] as const).map((kind) => ({
      name: `direct: ${kind} adds to a request, p50`,
      value: percentile(times[kind], 50),
      unit: "ms",
      baseline: trip,
      ratio: percentile(times[kind], 50) / trip,
    }));
  } finally {
    await sql.end();
  }
}

function operationsOn(sql: postgres.Sql) {
  const ledger = postgresLedger(sql);
  const user = (n: number) => USERS[n % AT_ONCE]!;
  const identity = (key: string, n: number) => ({
    userId: user(n),
    scope: SCOPE,
    key,
  });
  return {
    claim: (key: string, n: number) =>
      ledger.claim(identity(key, n), {
        fingerprint: FINGERPRINT,
        ownerToken: OWNER,
        leaseSeconds: 60,
        ttlSeconds: 86_400,
        onAbandoned: "retry",
        maxAttempts: 5,
        metadata: null,
      }),
    complete: (key: string, n: number) =>
      ledger.complete(identity(key, n), OWNER, ANSWER, 86_400),
    run: (
      key: string,
      n: number,
      onEvent?: (event: IdempotencyEvent) => void,
    ) =>
      withIdempotency(
        { store: ledger, userId: user(n), route: SCOPE, key, onEvent },
        () => Promise.resolve({ status: 200, body: BODY }),
      ),
    byHand: async (key: string, n: number) => {
      const [row] = await sql`
        select status, status_code, response, headers from public.bench_plain
        where user_id = ${user(n)} and scope = ${SCOPE} and key = ${key}`;
      if (row?.["status"] === "completed") {
        return {
          status: row["status_code"],
          body: JSON.parse(row["response"]),
        };
      }
      await sql`insert into public.bench_plain (user_id, scope, key)
        values (${user(n)}, ${SCOPE}, ${key})`;
      await sql`update public.bench_plain set status = 'completed',
          status_code = 200, response = ${JSON.stringify(BODY)},
          headers = ${sql.json(HEADERS)}
        where user_id = ${user(n)} and scope = ${SCOPE} and key = ${key}`;
      return { status: 200, body: BODY };
    },
    insert: (key: string, n: number) =>
      sql`insert into public.idempotency_keys (
          owner, user_id, scope, idempotency_key, request_fingerprint, owner_token,
          lease_expires_at, expires_at
        ) values (
          ${user(n)}, ${user(n)}, ${SCOPE}, ${key}, ${FINGERPRINT}, ${OWNER},
          now() + interval '60 seconds', now() + interval '1 day'
        )`,
    update: (key: string, n: number) =>
      sql`update public.idempotency_keys set
          status = 'completed', status_code = 200, response = ${BODY},
          response_encoding = 'text', response_headers = ${sql.json(HEADERS)},
          completed_at = now(), lease_expires_at = null
        where owner = ${user(n)} and scope = ${SCOPE}
          and idempotency_key = ${key}`,
    select: (key: string, n: number) =>
      sql`select status, status_code, response, response_encoding, response_headers
        from public.idempotency_keys
        where owner = ${user(n)} and scope = ${SCOPE}
          and idempotency_key = ${key}`,
  };
}

function median(numbers: readonly number[]): number {
  return percentile(numbers, 50);
}
