import type postgres from "postgres";

/** What {@link fillKeys} adds to the ledger. */
export interface Filling {
  /** Keys that are there already. */
  from: number;
  /** Keys that are there afterwards. */
  keys: number;
  /** Among whom they are shared out. */
  users: number;
  /** Of another scope and expired, beside them. */
  expired: number;
  body: string;
}

const CHUNK = 250_000;
const USERS_AT_LEAST = 1000;
const KEYS_A_USER = 500;

/** So many that nobody is near the most keys that a user may have. */
export function usersFor(keys: number): number {
  return Math.max(USERS_AT_LEAST, Math.ceil(keys / KEYS_A_USER));
}

/**
 * Adds completed keys, evenly claimed over the last day, and keys of the day
 * before that have expired; then leaves the table as a vacuum would.
 */
export async function fillKeys(
  sql: postgres.Sql,
  { from, keys, users, expired, body }: Filling,
): Promise<void> {
  await sql`insert into auth.users (id)
    select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
    from generate_series(0, ${users}::int - 1) as n on conflict do nothing`;
  // Those that were claimed anew beside the cleanup before.
  await sql`delete from public.idempotency_keys where scope = 'bench-expired'`;
  // Built over all rows at once, an index is made in a fraction of the time.
  const indexes = keys - from + expired > CHUNK ? await dropIndexes(sql) : [];
  await insertKeys(sql, {
    users,
    body,
    scope: "bench",
    first: 1 + from,
    last: keys,
    hours: 0,
  });
  await insertKeys(sql, {
    users,
    body,
    scope: "bench-expired",
    first: 1,
    last: expired,
    hours: 30,
  });
  for (const create of indexes) await sql.unsafe(create);
  await sql`vacuum analyze public.idempotency_keys`;
  await sql`checkpoint`;
}

async function insertKeys(
  sql: postgres.Sql,
  { users, body, scope, first, last, hours }: {
    users: number;
    body: string;
    scope: string;
    first: number;
    last: number;
    hours: number;
  },
): Promise<void> {
  for (let from = first; from <= last; from += CHUNK) {
    const to = Math.min(last, from + CHUNK - 1);
    await sql.begin(async (sql) => {
      // The foreign key would be looked up a row at a time.
      await sql`set local session_replication_role = replica`;
      await sql`set local synchronous_commit = off`;
      await sql`
        insert into public.idempotency_keys (
          owner, user_id, scope, idempotency_key, request_fingerprint, owner_token, status,
          status_code, response, response_encoding, response_headers, created_at, claimed_at,
          completed_at, expires_at)
        select
          owner, owner::uuid, ${scope}, lpad(n::text, 36, '0'), repeat('a', 64), gen_random_uuid(),
          'completed', 200, ${body}, 'text', '{"content-type":"application/json"}', claimed, claimed,
          claimed + make_interval(secs => 0.02 * exp(1.5 * (random() + random() + random()))),
          claimed + interval '25 hours'
        from (
          select n,
            '00000000-0000-4000-8000-' || lpad((n % ${users}::int)::text, 12, '0') as owner,
            now() - make_interval(hours => ${hours}::int)
              - make_interval(secs => 86400 * (1 - n::float8 / ${last}::float8)) as claimed
          from generate_series(${from}::bigint, ${to}::bigint) as n
        ) as keys`;
    });
  }
}

/** Drops all indexes of the ledger's table, and answers how to make them again. */
async function dropIndexes(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<
    { name: string; index: string; constraint: string | null }[]
  >`select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as index,
      'alter table public.idempotency_keys add constraint ' || quote_ident(c.conname) || ' '
        || pg_get_constraintdef(c.oid) as constraint
    from pg_index as i
    left join pg_constraint as c on c.conindid = i.indexrelid and c.conrelid = i.indrelid
    where i.indrelid = 'public.idempotency_keys'::regclass`;
  for (const { name, constraint } of rows) {
    await sql.unsafe(
      constraint === null
        ? `drop index ${name}`
        : `alter table public.idempotency_keys drop constraint idempotency_keys_identity`,
    );
  }
  return rows.map(({ index, constraint }) =>
    `set maintenance_work_mem = '512MB'; ${constraint ?? index}`
  );
}
