import postgres from "postgres";
import type { Answer } from "../../../shared/idempotency/ledger.ts";
import {
  rowOf,
  toAnswer,
  toClaimResult,
  toSettleResult,
} from "../../../shared/idempotency/sql_ledger.ts";
import { startCluster } from "../../../scripts/cluster/postgres.ts";
import { migrate } from "../../../scripts/cluster/supabase_cluster.ts";
import { AGE_KEYS } from "../../support/age.ts";
import type { Call, Result } from "./call.ts";
import type { Subject } from "./play.ts";
import { type Forgery, userIds } from "./schedule.ts";

/** The ledger's SQL, in a database of its own. */
export interface SqlSubject extends Subject {
  /** What a wrong step to the next version does beside the right one. */
  wrongStep: string;
  /** Runs anything, to break the ledger on purpose. */
  run<T extends object>(text: string, params?: string[]): Promise<T[]>;
}

/** Several of them: cleaning up reaches all keys of a database. */
export interface SqlSubjects extends AsyncDisposable {
  readonly subjects: readonly SqlSubject[];
  /** A further connection to the first one's database. */
  connect(): SqlSubject;
}

// What holds between the columns of any row. As constraints of the product's table they would cost
// each claim more than its look-up (docs/decisions/0011); here no schedule may get past them.
const RULES = `
  alter table public.idempotency_keys
    add check (user_id::text = owner),
    add check (expires_at >= lease_expires_at),
    add check ((status = 'completed') = (response_encoding is not null)),
    add check (status <> 'completed' or status_code is not null),
    add check (status = 'completed' or response_headers is null),
    add check (status = 'failed' or error_message is null),
    add check (status <> 'processing' or status_code is null),
    -- '' is a body, null is none: an empty answer and one that was not kept are two things
    add check ((response_encoding <> 'none') is true = (response is not null))
`;

// What a release may do to the one before it: a column more, and a parameter that those who came
// before it leave out. The insides of the function stay, whether they are right or broken on purpose.
const STEP = `
  alter table public.idempotency_keys add column if not exists note text;
  alter function public.idempotency_claim rename to claim_before;
  do $$ begin
    execute replace(
      replace(pg_get_functiondef('public.claim_before'::regproc), 'public.claim_before', 'public.idempotency_claim'),
      'p_metadata jsonb DEFAULT NULL::jsonb',
      'p_metadata jsonb DEFAULT NULL::jsonb, p_note text DEFAULT NULL::text'
    );
  end $$;
  revoke all on function public.idempotency_claim from public, anon, authenticated, service_role;
  grant execute on function public.idempotency_claim to service_role;
`;
const STEP_BACK = `
  do $$ begin
    execute (
      select format('drop function %s', p.oid::regprocedure)
      from pg_catalog.pg_proc as p
      where p.proname = 'idempotency_claim' and 'p_note' = any (p.proargnames)
    );
    if to_regproc('public.claim_before') is not null then
      alter function public.claim_before rename to idempotency_claim;
    end if;
  end $$;
`;
// Postgres never forgets a column, and takes 1,600 of them.
const MOST_COLUMNS = 1000;
// Nor does a session forget a function that it has run, and each takes 100 kB.
const STEPS_A_SESSION = 100;

/** Starts a cluster with as many databases, each with the migrations. */
export async function startSqlSubjects(count: number): Promise<SqlSubjects> {
  // No job may clean up behind a schedule's back: without pg_cron.
  const cluster = await startCluster();
  const connections: postgres.Sql[] = [];
  const close = async () => {
    await Promise.all(connections.map((sql) => sql.end({ timeout: 5 })));
    await cluster.close();
  };
  try {
    await migrate(cluster.url);
    const admin = postgres(cluster.url, { max: 1, database: "template1" });
    for (let lane = 0; lane < count; lane++) {
      await admin.unsafe(`create database lane_${lane} template postgres`);
    }
    await admin.end();
    const connect = (lane: number): SqlSubject => {
      const open = () => {
        const sql = postgres(cluster.url, {
          max: 1,
          database: `lane_${lane}`,
          onnotice: () => {},
          // int8: fences are far from 2^53
          types: {
            fence: { to: 20, from: [20], serialize: String, parse: Number },
          },
        });
        connections.push(sql);
        return sql;
      };
      return sqlSubject(open);
    };
    const subjects = Array.from({ length: count }, (_, lane) => connect(lane));
    for (const { run } of subjects) {
      await run(RULES);
      for (const id of userIds) {
        await run("insert into auth.users (id) values ($1)", [id]);
      }
    }
    return {
      subjects,
      connect: () => connect(0),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

// Calls go out without waiting for each other, so none may take a longer way
// through this process than the others: hence no adapter of the product's, whose
// part is proven by the contract suite. What rows mean is the product's word.
function sqlSubject(open: () => postgres.Sql): SqlSubject {
  let sql = open();
  const run = async <T extends object>(text: string, params: unknown[] = []) =>
    [
      ...await sql.unsafe<T[]>(text, params as never[], { prepare: true }),
    ] as T[];
  let inBatches = false;
  let isUpgraded = false;
  let steps = 0;
  return {
    name: "sql",
    surroundings: {
      grain: 10,
      purges: "now and then",
      forges: true,
      upgrades: true,
    },
    overlaps: true,
    wrongStep: "",
    run,
    async clear(seed) {
      // Every other schedule sends what it can as a batch of one.
      inBatches = seed % 2 === 1;
      await run("delete from public.idempotency_keys");
      if (!isUpgraded) return;
      isUpgraded = false;
      await sql.unsafe(STEP_BACK);
      if (++steps % STEPS_A_SESSION === 0) {
        await sql.end();
        sql = open();
      }
      if (steps > MOST_COLUMNS) return;
      await run("alter table public.idempotency_keys drop column note");
    },
    async upgrade() {
      await sql.unsafe(`${STEP}${this.wrongStep}`);
      isUpgraded = true;
    },
    call: async (call, version) => {
      const [fn, args] = statementOf(call, inBatches);
      const isNew = version === "new" && fn === "idempotency_claim";
      const holders = args.map((_, n) => `$${n + 1}`)
        .concat(isNew ? "p_note => 'of the new module'" : []).join(", ");
      return resultOf(
        call,
        await run(`select * from public.${fn}(${holders})`, args),
      );
    },
    // The SQL reads the clock itself, so the rows move the other way.
    moveClock: (seconds) => run(AGE_KEYS, [seconds]),
    async forge(userId, forgery) {
      // One message, and so one transaction: nothing of it outlasts a refusal.
      const claims = JSON.stringify({ sub: userId, role: "authenticated" });
      try {
        await sql.unsafe(
          `set local role authenticated;
           select set_config('request.jwt.claims', ${literal(claims)}, true);
           ${forgeryOf(forgery)}`,
        );
        return null;
      } catch (error) {
        return (error as postgres.PostgresError).code;
      }
    },
    purge: () => run("select public.cleanup_expired_idempotency_keys()"),
  };
}

function statementOf(
  call: Call,
  inBatches: boolean,
): [fn: string, args: unknown[]] {
  if (inBatches) {
    const batch = batchOf(call);
    if (batch !== null) return batch;
  }
  const { userId, scope, key } = call.identity;
  const owner = userId ?? "";
  if (call.method === "read") {
    return ["get_idempotency_status", [key, scope, owner]];
  }
  const named = [owner, scope, key];
  switch (call.method) {
    case "claim": {
      const { terms } = call;
      return ["idempotency_claim", [
        ...named,
        terms.fingerprint,
        terms.ownerToken,
        terms.leaseSeconds,
        terms.ttlSeconds,
        terms.onAbandoned,
        terms.maxAttempts,
      ]];
    }
    case "renew":
      return [
        "idempotency_renew",
        [...named, call.ownerToken, call.leaseSeconds],
      ];
    case "checkpoint":
      return ["idempotency_checkpoint", [
        ...named,
        call.ownerToken,
        call.step,
        call.result,
        call.leaseSeconds,
      ]];
    case "complete":
      return ["idempotency_complete", [
        ...named,
        call.ownerToken,
        call.answer.status,
        ...bodyOf(call.answer),
        call.answer.headers,
        call.ttlSeconds,
      ]];
    case "fail":
      return [
        "idempotency_fail",
        [...named, call.ownerToken, "it did not work", call.ttlSeconds],
      ];
  }
}

/** The same as a batch; `null` for a call that has no such form. */
function batchOf(call: Call): [fn: string, args: unknown[]] | null {
  const { userId, scope, key } = call.identity;
  const owner = userId ?? "";
  switch (call.method) {
    case "claim": {
      const { fingerprint, ownerToken, ...terms } = call.terms;
      const requests = [{ key, fingerprint, owner_token: ownerToken }];
      return ["idempotency_claim_many", [
        owner,
        scope,
        requests,
        terms.leaseSeconds,
        terms.ttlSeconds,
        terms.onAbandoned,
        terms.maxAttempts,
      ]];
    }
    case "complete": {
      const [response, response_encoding] = bodyOf(call.answer);
      const settlements = [{
        key,
        owner_token: call.ownerToken,
        status_code: call.answer.status,
        response,
        response_encoding,
        response_headers: call.answer.headers,
      }];
      const ttl = call.ttlSeconds;
      return [
        "idempotency_settle_many",
        [owner, scope, settlements, ttl, ttl],
      ];
    }
    case "fail": {
      const { ownerToken, ttlSeconds } = call;
      const settlements = [{
        key,
        owner_token: ownerToken,
        error_message: "it did not work",
      }];
      return [
        "idempotency_settle_many",
        [owner, scope, settlements, ttlSeconds, ttlSeconds],
      ];
    }
    default:
      return null;
  }
}

function forgeryOf(forgery: Forgery): string {
  if (forgery.kind === "call") {
    const [fn, args] = statementOf(forgery.call, forgery.inBatch);
    return `select * from public.${fn}(${args.map(literal).join(", ")})`;
  }
  const { userId, scope, key } = forgery.identity;
  const [owner, ...rest] = [userId ?? "", scope, key].map(literal);
  const where = `owner = ${owner} and scope = ${
    rest[0]
  } and idempotency_key = ${rest[1]}`;
  switch (forgery.kind) {
    case "resolve":
      return `select * from public.idempotency_resolve(${owner}, ${rest}, 'failed')`;
    case "clean up":
      return "select public.cleanup_expired_idempotency_keys()";
    case "insert":
      return `insert into public.idempotency_keys (
          owner, scope, idempotency_key, request_fingerprint, owner_token,
          lease_expires_at, expires_at
        ) values (
          ${owner}, ${rest}, repeat('a', 64), gen_random_uuid(), now(), now()
        )`;
    case "update":
      return `update public.idempotency_keys set lease_expires_at = now()
        where ${where}`;
    case "delete":
      return `delete from public.idempotency_keys where ${where}`;
  }
}

function literal(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "number") return String(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return `'${text.replaceAll("'", "''")}'`;
}

function bodyOf({ body }: Answer): [body: string | null, encoding: string] {
  if (body === null) return [null, "none"];
  // The schedules' binary bodies begin with a zero, which no text may hold.
  return body[0] === 0
    ? [btoa(String.fromCharCode(...body)), "base64"]
    : [new TextDecoder().decode(body), "text"];
}

type StatusRow = Parameters<typeof toAnswer>[0] & {
  readonly status: string;
  readonly is_expired: boolean;
};

async function resultOf(call: Call, rows: object[]): Promise<Result> {
  if (call.method === "read") {
    const found = (rows as StatusRow[])
      .find((row) => row.status === "completed" && !row.is_expired);
    const read = found === undefined ? null : await toAnswer(found);
    return { outcome: "read", read };
  }
  const row = rowOf(call.method, rows[0]);
  return call.method === "claim"
    ? await toClaimResult(row)
    : await toSettleResult(row);
}
