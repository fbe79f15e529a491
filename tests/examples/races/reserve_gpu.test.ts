import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";
import { untilBlockedBy } from "../../support/until_blocked_by.ts";

const AT_ONCE = 50;
const ROUNDS = 3;

const stack = withStack();
let ada: Actor & { userId: string };
let sql: postgres.Sql;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 8 });
});
Deno.test.afterAll(() => sql.end());

async function newPool(hours: number): Promise<string> {
  const [pool] = await sql<{ id: string }[]>`
    insert into public.gpu_pools (name, hours_free)
    values (${unique("pool")}, ${hours}) returning id`;
  return pool!.id;
}

async function books(poolId: string) {
  const [row] = await sql<{ free: number; count: number; hours: number }[]>`
    select p.hours_free as free, count(r.id)::int as count,
      coalesce(sum(r.hours), 0)::int as hours
    from public.gpu_pools as p
    left join public.gpu_reservations as r on r.pool_id = p.id
    where p.id = ${poolId} group by p.id`;
  return row!;
}

const reserve = (poolId: string, hours: number, key: string) =>
  call(stack(), ada, "reserve-gpu", { body: { poolId, hours }, key });

/** As the API does it: one transaction under the caller's role and claims. */
async function reserveIn(
  tx: postgres.ISql,
  poolId: string,
  key: string,
) {
  const claims = JSON.stringify({ sub: ada.userId });
  await tx`select set_config('role', 'authenticated', true),
    set_config('request.jwt.claims', ${claims}, true)`;
  const [answer] = await tx<{ outcome: string; response: string }[]>`
    select * from public.reserve_gpu_hours(${poolId}, 1, ${key}, ${
    "a".repeat(64)
  })`;
  return answer!;
}

Deno.test(`${AT_ONCE} reservations with one key: one is made, all are told of it`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const poolId = await newPool(1000);
    const key = unique("key");
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, () => reserve(poolId, 7, key)),
    );
    assertEquals(answers.map(({ status }) => status), Array(AT_ONCE).fill(201));
    assertEquals(
      new Set(answers.map(({ body }) => body.reservationId)).size,
      1,
    );
    assertEquals(answers.filter(({ replayed }) => !replayed).length, 1);
    assertEquals(await books(poolId), { free: 993, count: 1, hours: 7 });
  }
});

Deno.test("an account that ends while it reserves gives everything back, by whatever route it reserves", async () => {
  for (const route of ["rest", "function"]) {
    const cal = await signUp(stack());
    const poolId = await newPool(10);
    const reserveMore = async () =>
      route === "rest"
        ? (await cal.client.from("gpu_reservations")
          .insert({ pool_id: poolId, hours: 2 })).status
        : (await call(stack(), cal, "reserve-gpu", {
          body: { poolId, hours: 2 },
          key: unique("key"),
        })).status;
    assertEquals(await reserveMore(), 201);
    let reserving: Promise<number> | undefined;
    let ending: Promise<unknown> | undefined;
    await sql.begin(async (tx) => {
      const [session] = await tx<{ pid: number }[]>`
        select pg_backend_pid() as pid`;
      await tx`select from public.gpu_pools where id = ${poolId} for update`;
      reserving = reserveMore();
      await untilBlockedBy(sql, session!.pid);
      const [cals] = await sql<{ pid: number }[]>`
        select pid from pg_stat_activity
        where ${session!.pid} = any (pg_blocking_pids(pid))`;
      ending = sql`delete from auth.users where id = ${cal.userId}`.execute();
      await untilBlockedBy(sql, cals!.pid);
    });
    assertEquals([route, await reserving], [route, 201]);
    await ending;
    assertEquals(await books(poolId), { free: 10, count: 0, hours: 0 });
  }
});

Deno.test("an account that ends takes its pools in the order of their ids, and never waits in a circle with another", async () => {
  const cal = await signUp(stack());
  const pools = [crypto.randomUUID(), crypto.randomUUID()].sort();
  const [low, high] = pools as [string, string];
  // In the other order, where nobody asks for one.
  for (const id of [high, low]) {
    await sql`insert into public.gpu_pools (id, name, hours_free)
      values (${id}, ${unique("pool")}, 1000)`;
    await sql`insert into public.gpu_reservations (user_id, pool_id, hours)
      select ${cal.userId}, ${id}, 1 from generate_series(1, 1000)`;
  }
  let ending: Promise<unknown> | undefined;
  await sql.begin(async (tx) => {
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    await tx`select from public.gpu_pools where id = ${low} for update`;
    ending = sql`delete from auth.users where id = ${cal.userId}`.execute();
    await untilBlockedBy(sql, session!.pid);
    await tx`select from public.gpu_pools where id = ${high} for update nowait`;
  });
  await ending;
  for (const id of pools) {
    assertEquals(await books(id), { free: 1000, count: 0, hours: 0 });
  }
});

Deno.test("reservations of several pools in one request take them in the order of their ids, and never wait in a circle with others", async () => {
  const pools = [await newPool(10), await newPool(10)].sort();
  const [low, high] = pools as [string, string];
  let reserving: PromiseLike<{ status: number }> | undefined;
  await sql.begin(async (tx) => {
    const [session] = await tx<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    await tx`select from public.gpu_pools where id = ${low} for update`;
    reserving = ada.client.from("gpu_reservations").insert(
      [high, low].map((pool_id) => ({ pool_id, hours: 2 })),
    ).then();
    await untilBlockedBy(sql, session!.pid);
    await tx`select from public.gpu_pools where id = ${high}
      for no key update nowait`;
  });
  assertEquals((await reserving!).status, 201);
  for (const id of pools) {
    assertEquals(await books(id), { free: 8, count: 1, hours: 2 });
  }
});

Deno.test(`${AT_ONCE} reservations of one hour with 10 hours free: ten fit, the others are refused for good`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const poolId = await newPool(10);
    const requests = Array.from({ length: AT_ONCE }, () => unique("key"));
    const ask = () =>
      Promise.all(requests.map((key) => reserve(poolId, 1, key)));
    const answers = await ask();
    const made = answers.filter(({ status }) => status === 201);
    const refused = answers.filter(({ status }) => status === 422);
    assertEquals([made.length, refused.length], [10, AT_ONCE - 10]);
    assert(refused.every(({ body }) => body.code === "TOO_FEW_GPU_HOURS"));
    assertEquals(await books(poolId), { free: 0, count: 10, hours: 10 });
    const again = await ask();
    assert(again.every(({ replayed }) => replayed));
    assertEquals(
      again.map(({ body }) => body),
      answers.map(({ body }) => body),
    );
    assertEquals(await books(poolId), { free: 0, count: 10, hours: 10 });
  }
});

Deno.test("reservations that ask for more than is left never make the pool negative", async () => {
  const poolId = await newPool(100);
  const answers = await Promise.all(
    Array.from(
      { length: AT_ONCE },
      (_, n) => reserve(poolId, 1 + n % 9, unique("key")),
    ),
  );
  const { free, hours, count } = await books(poolId);
  assert(free >= 0 && free < 9, `${free} hours free`);
  assertEquals(
    [hours, count],
    [100 - free, answers.filter(({ status }) => status === 201).length],
  );
});

Deno.test("a connection that is cut before its commit leaves nothing; whoever waited for it reserves once", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const poolId = await newPool(10);
    const key = unique("key");
    // Statement by statement: sql.begin would send its rollback into the cut
    // connection, which ends the process (postgres.js 3.4.9).
    const doomed = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 1 });
    const inTransaction = Promise.withResolvers<number>();
    const cut = assertRejects(async () => {
      await doomed`begin`;
      const { outcome } = await reserveIn(doomed, poolId, key);
      assertEquals(outcome, "completed");
      const [session] = await doomed<{ pid: number }[]>`
        select pg_backend_pid() as pid`;
      inTransaction.resolve(session!.pid);
      // The effect is there, for this session alone, until it is cut.
      await doomed`select pg_sleep(60)`;
    });
    const pid = await inTransaction.promise;
    const waiting = sql.begin((tx) => reserveIn(tx, poolId, key));
    await untilBlockedBy(sql, pid);
    await sql`select pg_terminate_backend(${pid})`;
    await cut;
    await doomed.end({ timeout: 0 });
    const first = await waiting;
    const retry = await sql.begin((tx) => reserveIn(tx, poolId, key));
    assertEquals([first.outcome, retry.outcome], ["completed", "replay"]);
    assertEquals(retry.response, first.response);
    assertEquals(await books(poolId), { free: 9, count: 1, hours: 1 });
  }
});

Deno.test("an answer that is lost after the commit is replayed to the retry", async () => {
  const poolId = await newPool(10);
  const key = unique("key");
  await sql.begin((tx) => reserveIn(tx, poolId, key));
  const retry = await sql.begin((tx) => reserveIn(tx, poolId, key));
  assertEquals(retry.outcome, "replay");
  assertEquals(await books(poolId), { free: 9, count: 1, hours: 1 });
});
