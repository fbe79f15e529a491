import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { untilBlockedBy } from "../../support/until_blocked_by.ts";

// Accounts that end, and organisations that are dissolved, at the same moment:
// each in a session of its own.

let sql: postgres.Sql;

Deno.test.beforeAll(() => {
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 6 });
});
Deno.test.afterAll(() => sql.end());

const KINDS = [
  {
    name: "a business",
    members: "memberships",
    column: "business_id",
    next: "manager",
    open: (id: string) =>
      sql`insert into public.businesses (id, name, currency) values (${id}, 'Shop', 'EUR')`,
  },
  {
    name: "an organisation",
    members: "organization_members",
    column: "organization_id",
    next: "admin",
    open: (id: string) =>
      sql`insert into public.organizations (id, name) values (${id}, 'Travel Ltd')`,
  },
] as const;
type Kind = typeof KINDS[number];

async function newUsers(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => crypto.randomUUID());
  await sql`insert into auth.users ${sql(ids.map((id) => ({ id })))}`;
  return ids;
}

/** Of an owner, and of others who may follow: the first has been there longest. */
async function openFor(
  { open, members, column, next }: Kind,
  [owner, ...others]: string[],
): Promise<string> {
  const id = crypto.randomUUID();
  await open(id);
  const now = Date.now();
  const rows = [owner!, ...others].map((user_id, place) => ({
    [column]: id,
    user_id,
    role: place === 0 ? "owner" : next,
    created_at: new Date(now + place),
  }));
  for (const row of rows) {
    await sql`insert into public.${sql(members)} ${sql(row)}`;
  }
  return id;
}

async function ownersOf(
  { members, column }: Kind,
  id: string,
): Promise<string[]> {
  const rows = await sql<{ user_id: string }[]>`
    select user_id from public.${sql(members)} where ${
    sql(column)
  } = ${id} and role = 'owner'`;
  return rows.map(({ user_id }) => user_id);
}

/** As the API does it: under the caller's role and claims. */
const actAs = (session: postgres.TransactionSql, user: string) =>
  session`select set_config('role', 'authenticated', true),
    set_config('request.jwt.claims', ${JSON.stringify({ sub: user })}, true)`;

type Step = (session: postgres.TransactionSql) => PromiseLike<unknown>;

const end = (user: string): Step => (session) =>
  session`delete from auth.users where id = ${user}`;

/** Does one step in a transaction that stays open; answers what commits it. */
async function holding(step: Step) {
  const held = Promise.withResolvers<number>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const ended = sql.begin(async (session) => {
    await session`set local lock_timeout = '5s'`;
    await step(session);
    const [row] = await session`select pg_backend_pid() as pid`;
    held.resolve(row!["pid"]);
    await released;
  });
  ended.catch(held.reject);
  const pid = await held.promise;
  return {
    pid,
    commit: () => {
      release();
      return ended;
    },
  };
}

const inTime = (step: Step) =>
  sql.begin(async (session) => {
    await session`set local lock_timeout = '5s'`;
    await step(session);
  });

for (const kind of KINDS) {
  Deno.test(`the owner of ${kind.name} is not followed by one who is leaving, nor waits for them`, async () => {
    const [owner, leaving, other] = await newUsers(3) as [
      string,
      string,
      string,
    ];
    const id = await openFor(kind, [owner, leaving, other]);
    const left = await holding(end(leaving));
    await inTime(end(owner));
    await left.commit();
    assertEquals(await ownersOf(kind, id), [other]);
  });

  Deno.test(`where one is leaving alone, the owner of ${kind.name} waits for what becomes of them`, async () => {
    const [owner, only] = await newUsers(2) as [string, string];
    const id = await openFor(kind, [owner, only]);
    const change = await holding((session) =>
      session`update public.${session(kind.members)} set role = role
        where ${session(kind.column)} = ${id} and user_id = ${only}`
    );
    const ended = inTime(end(owner));
    await untilBlockedBy(sql, change.pid);
    await change.commit();
    await ended;
    assertEquals(await ownersOf(kind, id), [only]);
  });
}

for (const kind of KINDS) {
  Deno.test(`of two who alone could follow each other in ${kind.name} one leaves at once, and the other when asked again`, async () => {
    const [one, two] = await newUsers(2) as [string, string];
    const homes = [
      await openFor(kind, [one, two]),
      await openFor(kind, [two, one]),
    ];
    const leave = (user: string) =>
      sql.begin(async (session) => {
        await session`set local deadlock_timeout = '50ms'`;
        await end(user)(session);
      }).then(() => true, (error: postgres.PostgresError) => {
        assertEquals(error.code, "40P01");
        return false;
      });
    // Both have begun before either gets to who follows.
    const change = await holding((session) =>
      session`update public.${session(kind.members)} set role = role
        where ${session(kind.column)} in ${session(homes)} and role <> 'owner'`
    );
    const leaving = [leave(one), leave(two)];
    await untilBlockedBy(sql, change.pid);
    await change.commit();
    const [hasOne, hasTwo] = await Promise.all(leaving) as [boolean, boolean];
    assert(hasOne || hasTwo, "neither could leave");
    if (hasOne !== hasTwo) {
      const left = hasOne ? two : one;
      const owners = homes.map((id) => ownersOf(kind, id));
      assertEquals(await Promise.all(owners), [[left], [left]]);
      assert(await leave(left), "asked again");
    }
    const gone = await sql`select from auth.users where id in ${
      sql([one, two])
    }`;
    assertEquals(gone.length, 0);
  });
}

Deno.test("an organisation that is dissolved while its owner's account ends goes, and so does the account", async () => {
  const kind = KINDS[1];
  const [owner, other] = await newUsers(2) as [string, string];
  const dissolved = await openFor(kind, [owner, other]);
  const held = await openFor(kind, [other, owner]);
  // The account's end has got as far as its second membership.
  const change = await holding((session) =>
    session`update public.organization_members set role = role
      where organization_id = ${held} and user_id = ${owner}`
  );
  const ended = inTime(end(owner));
  await untilBlockedBy(sql, change.pid);
  const [{ pid }] = await sql<[{ pid: number }]>`
    select pid from pg_stat_activity where ${change.pid} = any (pg_blocking_pids(pid))`;
  const gone = inTime((session) =>
    session`delete from public.organizations where id = ${dissolved}`
  );
  await untilBlockedBy(sql, pid);
  await change.commit();
  await Promise.all([ended, gone]);
  const left = await sql`
    select from auth.users where id = ${owner}
    union all
    select from public.organizations where id = ${dissolved}`;
  assertEquals([left.length, await ownersOf(kind, held)], [0, [other]]);
});

Deno.test("whoever dissolves an organisation waits for what a colleague has begun, and neither deadlocks", async () => {
  const kind = KINDS[1];
  const [owner, colleague] = await newUsers(2) as [string, string];
  const team = await openFor(kind, [owner, colleague]);
  let dissolved: Promise<unknown> | undefined;
  await sql.begin(async (session) => {
    await actAs(session, colleague);
    await session`select public.require_membership(${team})`;
    const [row] = await session`select pg_backend_pid() as pid`;
    dissolved = inTime((other) =>
      other`delete from public.organizations where id = ${team}`
    );
    await untilBlockedBy(sql, row!["pid"]);
    await session`select public.create_quotation(
      '{"customer_name": "c", "currency": "EUR", "lines": []}', 'one', ${team})`;
  });
  await dissolved;
  const left = await sql`select from public.organizations where id = ${team}`;
  assertEquals(left.length, 0);
});

Deno.test("who hands an organisation over and dissolves it at once does not take it from the new owner", async () => {
  const kind = KINDS[1];
  const [owner, next] = await newUsers(2) as [string, string];
  const team = await openFor(kind, [owner, next]);
  const handedOver = await holding(async (session) => {
    await actAs(session, owner);
    await session`select public.transfer_organization(${team}, ${next})`;
  });
  const dissolved = sql.begin(async (session) => {
    await actAs(session, owner);
    return await session`delete from public.organizations where id = ${team} returning id`;
  });
  await untilBlockedBy(sql, handedOver.pid);
  await handedOver.commit();
  assertEquals((await dissolved).length, 0);
  assertEquals(await ownersOf(kind, team), [next]);
});

Deno.test("whoever ends an account waits for what it has begun with its own quotation, and neither deadlocks", async () => {
  const [user] = await newUsers(1) as [string];
  const [quotation] = await sql<[{ id: string }]>`
    insert into public.quotations (user_id, customer_name, currency)
    values (${user}, 'c', 'EUR') returning id`;
  let ended: Promise<unknown> | undefined;
  await sql.begin(async (session) => {
    await actAs(session, user);
    await session`select public.hold_quotation(${quotation.id}, 'one')`;
    const [row] = await session`select pg_backend_pid() as pid`;
    ended = inTime(end(user));
    await untilBlockedBy(sql, row!["pid"]);
    await session`select public.update_quotation(
      ${quotation.id}, '{"customer_name": "d"}', null, 'one')`;
  });
  await ended;
  const left = await sql`select from auth.users where id = ${user}`;
  assertEquals(left.length, 0);
});
