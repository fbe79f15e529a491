import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { defineMiddleware, pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { withPostgresClient } from "@supabase/server/middleware/postgres";
import { withPostgresAdminClient } from "@supabase/server/middleware/postgres-admin";
// An optional peer of @supabase/server: it resolves where somebody imports it.
import "pg";
import postgres from "postgres";
import {
  encrypted,
  flushReplayCounts,
  type Ledger,
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  postgresLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { ledgerContract } from "../../shared/idempotency/testing.ts";
import { AGE_KEYS } from "../support/age.ts";
import { databaseCalls } from "../support/database_calls.ts";
import { unique } from "../support/probe.ts";
import { signUp, withStack } from "../support/stack.ts";

// The embedded database has no port to connect to.
const url = Deno.env.get("STACK") === "postgres"
  ? Deno.env.get("DATABASE_URL")
  : undefined;

if (url === undefined) {
  Deno.test.ignore("Postgres ledger: needs a Postgres server", () => {});
} else {
  testOn(url);
}

function testOn(url: string): void {
  const stack = withStack();
  const statements: string[] = [];
  let sql: postgres.Sql;
  let one: postgres.Sql;
  let ledger: Ledger;
  let ada: string;
  let bob: string;

  Deno.test.beforeAll(async () => {
    sql = postgres(url, { max: 4 });
    one = postgres(url, {
      max: 1,
      debug: (_connection, text) => void statements.push(text),
    });
    ledger = postgresLedger(one);
    ada = (await signUp(stack())).userId;
    bob = (await signUp(stack())).userId;
  });
  Deno.test.afterAll(async () => {
    await one.end();
    await sql.end();
  });

  const contract = ledgerContract(() => ({
    ledger: postgresLedger(sql),
    users: [ada, bob],
    age: async (seconds) => {
      await sql.unsafe(AGE_KEYS, [seconds]);
    },
  }));
  for (const { name, run } of contract) {
    Deno.test(`Postgres ledger: ${name}`, run);
  }

  const identity = () => ({ userId: ada, scope: "direct", key: unique("key") });
  const request = () => ({
    fingerprint: "a".repeat(64),
    ownerToken: crypto.randomUUID(),
    leaseSeconds: 60,
    ttlSeconds: 3600,
    onAbandoned: "retry" as const,
    maxAttempts: 5,
    metadata: { note: ["a", "list"] },
  });
  const answer = {
    status: 201,
    headers: { "content-type": "text/plain" },
    body: new TextEncoder().encode("done"),
  };

  Deno.test("a call is one named, prepared statement, and leaves no setting behind", async () => {
    const key = identity();
    const owner = request();
    await ledger.claim(key, owner);
    await ledger.complete(key, owner.ownerToken, answer, 3600);
    statements.length = 0;
    for (let n = 0; n < 3; n++) {
      assertEquals((await ledger.claim(key, request())).outcome, "replay");
    }
    assertEquals(statements.length, 3);
    const prepared = await one`select 1 from pg_prepared_statements
      where statement like 'select k.status_code%idempotency_claim(%'`;
    assertEquals(prepared.length, 1);
    const [setting] = await one`show lock_timeout`;
    assertEquals(setting, { lock_timeout: "0" });
  });

  Deno.test("terms that are not what their types say are sent apart, not written into the statement", async () => {
    const hostile = {
      leaseSeconds: "60 -- hostile",
      ttlSeconds: [60, 60],
      onAbandoned: "retry') -- hostile",
      maxAttempts: "5 -- hostile",
      thirdParty: "true,'); drop table public.probe_effects; -- hostile",
    };
    for (const [name, value] of Object.entries(hostile)) {
      statements.length = 0;
      // As whoever reads terms from JSON and trusts them would.
      const terms = JSON.parse(JSON.stringify({ [name]: value }));
      // Refused, or read by the driver as what the parameter is to be.
      await ledger.claim(identity(), { ...request(), ...terms })
        .catch(() => {});
      assertEquals(statements.length > 0, true);
      assertEquals(statements.filter((text) => text.includes("hostile")), []);
    }
  });

  Deno.test("a call that waits for a lock is ended by the server, and sent again", async () => {
    const key = identity();
    const owner = request();
    await ledger.claim(key, owner);
    const locked = Promise.withResolvers<void>();
    const holder = sql.begin(async (sql) => {
      await sql`select from public.idempotency_keys
        where idempotency_key = ${key.key} for update`;
      locked.resolve();
      await new Promise((resolve) => setTimeout(resolve, 4_000));
    });
    await locked.promise;
    const refusals: unknown[] = [];
    const watched = postgresLedger({
      begin: sql.begin,
      async unsafe(...call) {
        try {
          return await sql.unsafe(...call);
        } catch (error) {
          refusals.push((error as { code?: string }).code);
          throw error;
        }
      },
    });
    const settled = await watched.complete(key, owner.ownerToken, answer, 3600);
    await holder;
    // By the server: given up on this side, its connection would wait on.
    assertEquals(refusals, ["55P03"]);
    assertEquals(settled.outcome, "recorded");
  });

  Deno.test("an encrypted answer for which its user has no room is told as one that was not kept, with where the result is", async () => {
    const { userId } = await signUp(stack());
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const keys = [{ id: "one", secret }];
    const store = encrypted(postgresLedger(sql), { keys });
    let runs = 0;
    const order = (key: string, headers: Record<string, string>) =>
      withIdempotency({ store, userId, route: "direct", key }, () => {
        runs++;
        return Promise.resolve({ status: 201, body: "done", headers });
      });
    const large = { link: "<".repeat(20_000) };
    const cases = [
      [unique("key"), { ...large, location: "/orders/17" }, "/orders/17"],
      [unique("key"), { ...large, location: "/".repeat(1900) }, undefined],
      [unique("key"), large, undefined],
    ] as const;
    try {
      // There was room for the keys.
      for (const [key] of cases) {
        await assertRejects(() =>
          withIdempotency(
            { store, userId, route: "direct", key },
            () => Promise.reject(new Error("later")),
          )
        );
      }
      await sql`update idempotency.limits set bytes = 1`;
      await sql`insert into idempotency.full_owners (owner) values (${userId})`;
      for (const [key, headers, location] of cases) {
        assertEquals((await order(key, headers)).status, 201);
        const retry = await order(key, headers);
        const { code, storedStatus } = retry.body as unknown as {
          code: string;
          storedStatus: number;
        };
        assertEquals([code, storedStatus], ["RESPONSE_NOT_STORED", 201]);
        assertEquals(retry.headers["location"], location);
      }
      assertEquals(runs, cases.length);
    } finally {
      await sql`update idempotency.limits set bytes = default`;
      await sql`delete from idempotency.full_owners where owner = ${userId}`;
    }
  });

  Deno.test("in one transaction, key and effect are kept together or not at all", async () => {
    await sql`create table if not exists public.direct_effects (key text)`;
    const key = identity();
    const order = (isLucky: boolean) =>
      sql.begin(async (sql) => {
        const ledger = postgresLedger(sql);
        const owner = request();
        const claimed = await ledger.claim(key, owner);
        if (claimed.outcome !== "claimed") return claimed.outcome;
        await sql`insert into public.direct_effects values (${key.key})`;
        if (!isLucky) throw new Error("the worker dies");
        await ledger.complete(key, owner.ownerToken, answer, 3600);
        const [setting] = await sql`show lock_timeout`;
        assertEquals(setting, { lock_timeout: "0" });
        return "ran";
      });
    try {
      await assertRejects(() => order(false), Error, "the worker dies");
      assertEquals(await order(true), "ran");
      assertEquals(await order(true), "replay");
      const effects = await sql`select from public.direct_effects`;
      assertEquals(effects.length, 1);
    } finally {
      await sql`drop table public.direct_effects`;
    }
  });

  Deno.test("in a transaction a call that failed is not sent again, and says why it failed", async () => {
    const key = identity();
    const owner = request();
    await ledger.claim(key, owner);
    const locked = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    const holder = sql.begin(async (sql) => {
      await sql`select from public.idempotency_keys
        where idempotency_key = ${key.key} for update`;
      locked.resolve();
      await done.promise;
    });
    await locked.promise;
    const causes: unknown[] = [];
    await assertRejects(() =>
      sql.begin(async (sql) => {
        await sql`set local lock_timeout = '50ms'`;
        const { cause } = await assertRejects(
          () => postgresLedger(sql).complete(key, owner.ownerToken, answer, 60),
          LedgerUnavailableError,
        );
        causes.push((cause as { code: string }).code);
      })
    );
    done.resolve();
    await holder;
    // Not what a transaction says to all that follows its first error.
    assertEquals(causes, ["55P03"]);
  });

  Deno.test("@supabase/server's connections: the connection's role may write the ledger, the caller may not", async () => {
    const claims = defineMiddleware<"jwtClaims", void, object, object>({
      key: "jwtClaims",
      run: () => () =>
        Promise.resolve({ jwtClaims: { sub: ada, role: "authenticated" } }),
    });
    const app = pipeline(
      [
        claims(),
        withPostgresClient({ connectionString: url }),
        withPostgresAdminClient({ connectionString: url }),
      ],
      async (_req, { postgres, postgresAdmin }) => {
        const key = identity();
        const owner = request();
        const error = await assertRejects(
          () => postgresLedger(postgres).claim(key, owner),
          LedgerMisconfiguredError,
        );
        assertStringIncludes(error.message, "inherits from service_role");
        const admin = postgresLedger(postgresAdmin);
        assertEquals((await admin.claim(key, owner)).outcome, "claimed");
        const kept = { value: [1] };
        await admin.checkpoint(key, owner.ownerToken, "one", kept, 60);
        const again = await admin.claim(key, owner);
        assertEquals(again.outcome === "claimed" && again.steps, { one: kept });
        await admin.complete(key, owner.ownerToken, answer, 3600);
        assertEquals(await admin.read(key), answer);
        return new Response("ok");
      },
    );
    const response = await app(new Request("http://127.0.0.1/"));
    assertEquals(await response.text(), "ok");
  });

  Deno.test("withIdempotency() keeps its keys over the pipeline's Postgres client by itself, without the Data API", async () => {
    const scope = unique("admin");
    let runs = 0;
    const app = pipeline(
      [
        withSupabase({ auth: "none" }),
        withPostgresAdminClient({ connectionString: url }),
        withIdempotency({ scope, callers: "project" }),
      ],
      () => Promise.resolve(Response.json({ run: ++runs })),
    );
    const key = unique("key");
    const ask = async () => {
      const headers = { "Idempotency-Key": key };
      const response = await app(
        new Request("http://127.0.0.1/orders", { method: "POST", headers }),
      );
      const replay = response.headers.get("x-idempotency-replay");
      return [response.status, replay, await response.json()];
    };
    const answers: unknown[] = [];
    const calls = await databaseCalls(async () => {
      answers.push(await ask(), await ask());
      await flushReplayCounts();
    });
    assertEquals(answers, [[200, null, { run: 1 }], [200, "true", { run: 1 }]]);
    assertEquals(calls, []);
    const [row] = await sql`select status, owner
      from public.idempotency_keys where scope = ${scope}`;
    assertEquals(row, { status: "completed", owner: "" });
    const [counted] = await sql`select sum(replays)::int as replays
      from idempotency.replay_counts where scope = ${scope}`;
    assertEquals(counted, { replays: 1 });
  });
}
