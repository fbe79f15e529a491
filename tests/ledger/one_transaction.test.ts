import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres, {
  type ReservedSql,
  type Sql,
  type TransactionSql,
} from "postgres";
import {
  flushReplayCounts,
  type OperationOutcome,
  postgresLedger,
  runMany,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { TRY_MS } from "../../shared/idempotency/sql_ledger.ts";
import { readKeys } from "../../scripts/stack/keys.ts";
import { openPostgres } from "../../scripts/stack/postgres.ts";
import { checkToken } from "../../scripts/stack/tokens.ts";
import { codeBlocks, importBlock } from "../support/documented.ts";
import { unique } from "../support/probe.ts";
import { untilBlockedBy } from "../support/until_blocked_by.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

// The examples of docs/one-transaction.md, run as they stand there.
const PAGE = "one-transaction.md";

const stack = withStack();
let ada: Actor & { userId: string };
let headers: Record<string, string>;
let sql: Sql;
let placeOrder: (
  sql: Sql,
  userId: string,
  key: string,
  product: string,
) => Promise<OperationOutcome<{ orderId: string }>>;
let edgeFunction: (req: Request) => Promise<Response>;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  headers = await asTheGateway(ada);
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 20 });
  const [migration] = await codeBlocks(PAGE, "sql");
  await sql.unsafe(migration!).simple();
  // Any such statement makes the stack read the schema anew.
  await stack().sql("drop table if exists public.none");
  const [inPlpgsql, overConnection] = await codeBlocks(PAGE, "ts");
  edgeFunction = (await importBlock(inPlpgsql!)).default.fetch;
  placeOrder = (await importBlock(overConnection!)).placeOrder;
});

Deno.test.afterAll(async () => {
  await sql`drop function public.place_order(text, text, text)`;
  await sql`drop table public.orders`;
  await sql.end();
});

/** The example is called without the gateway, which signs tokens anew. */
async function asTheGateway(actor: Actor): Promise<Record<string, string>> {
  const database = await openPostgres(Deno.env.get("DATABASE_URL") ?? "");
  try {
    const keys = (await readKeys(database))!;
    const check = await checkToken(new Headers(actor.headers), keys);
    if (check.state !== "valid") throw new Error(`The token is ${check.state}`);
    return { ...actor.headers, Authorization: `Bearer ${check.token}` };
  } finally {
    await database.close();
  }
}

async function orders(product: string): Promise<number> {
  const rows = await sql`select from public.orders where product = ${product}`;
  return rows.length;
}

async function statusOf(key: string): Promise<string | undefined> {
  const [row] = await sql<{ status: string }[]>`
    select status from public.idempotency_keys where idempotency_key = ${key}`;
  return row?.status;
}

Deno.test("the documented function in plpgsql places one order for ten requests at once", async () => {
  const key = unique("key");
  const product = unique("product");
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const response = await edgeFunction(
        new Request("http://x/orders", {
          method: "POST",
          headers: { ...headers, "Idempotency-Key": key },
          body: JSON.stringify({ product }),
        }),
      );
      return {
        status: response.status,
        replayed: response.headers.has("x-idempotency-replay"),
        body: await response.text(),
      };
    }),
  );
  assertEquals(answers.map(({ status }) => status), Array(10).fill(201));
  assertEquals(new Set(answers.map(({ body }) => body)).size, 1);
  assertEquals(answers.filter(({ replayed }) => !replayed).length, 1);
  assertEquals(await orders(product), 1);
});

Deno.test("the documented transaction over a direct connection places one order for ten calls at once", async () => {
  const key = unique("key");
  const product = unique("product");
  const outcomes = await Promise.all(
    Array.from(
      { length: 10 },
      () => placeOrder(sql, ada.userId, key, product),
    ),
  );
  assertEquals(outcomes.map(({ status }) => status), Array(10).fill(201));
  assertEquals(
    new Set(outcomes.map(({ body }) => body.orderId)).size,
    1,
  );
  assertEquals(outcomes.filter(({ replayed }) => !replayed).length, 1);
  assertEquals(await orders(product), 1);
  assertEquals((await placeOrder(sql, ada.userId, key, "other")).status, 422);
});

const anOrder = (status = 201) => ({
  key: unique("key"),
  product: unique("product"),
  status,
});

/** How many such orders there are, and how their key stands. */
const left = async ({ key, product }: { key: string; product: string }) => [
  await orders(product),
  await statusOf(key),
];

/** Orders a product, then answers. */
const operation = (
  tx: TransactionSql | ReservedSql,
  { key, product, status, headers = {} }: {
    key: string;
    product: string;
    status: number;
    headers?: Record<string, string>;
  },
) =>
  withIdempotency({
    store: postgresLedger(tx),
    userId: ada.userId,
    route: "orders",
    key,
  }, async () => {
    await tx`insert into public.orders (user_id, product)
      values (${ada.userId}, ${product})`;
    if (status === 0) throw new Error("no stock");
    return { status, headers, body: null };
  });

Deno.test("an error in the transaction leaves neither the order nor the key", async () => {
  const order = anOrder(0);
  await assertRejects(
    () => sql.begin((tx) => operation(tx, order)),
    Error,
    "no stock",
  );
  assertEquals(await left(order), [0, undefined]);
});

Deno.test("a record that cannot be written takes the order with it", async () => {
  const order = anOrder();
  // More than the ledger keeps: completing fails, after the effect.
  const headers = Object.fromEntries(
    Array.from({ length: 2_000 }, () => [unique("x"), crypto.randomUUID()]),
  );
  await assertRejects(() =>
    sql.begin((tx) => operation(tx, { ...order, headers }))
  );
  assertEquals(await left(order), [0, undefined]);
  const retry = await sql.begin((tx) => operation(tx, order));
  assert(!retry.replayed);
  assertEquals(await orders(order.product), 1);
});

Deno.test("an answer that is not final ends the transaction, and the retry runs", async () => {
  const order = anOrder();
  await assertRejects(
    () => sql.begin((tx) => operation(tx, { ...order, status: 503 })),
    Error,
    "an attempt in it threw or gave an answer that is not final",
  );
  assertEquals(await left(order), [0, undefined]);
  await sql.begin((tx) => operation(tx, order));
  assertEquals(await left(order), [1, "completed"]);
});

Deno.test("an error that is caught within the transaction commits nothing of its attempt", async () => {
  const order = anOrder();
  await assertRejects(
    () =>
      sql.begin(async (tx) => {
        await operation(tx, { ...order, status: 0 }).catch(() => {});
        return "caught";
      }),
    Error,
    "Cannot commit this transaction",
  );
  assertEquals(await left(order), [0, undefined]);
});

Deno.test("a savepoint keeps the rest of a transaction from an attempt that failed in it", async () => {
  const order = anOrder();
  const beside = anOrder();
  await sql.begin(async (tx) => {
    await operation(tx, beside);
    await assertRejects(() =>
      tx.savepoint((tx) => operation(tx, { ...order, status: 503 }))
    );
  });
  assertEquals(await left(order), [0, undefined]);
  assertEquals(await left(beside), [1, "completed"]);
});

Deno.test("of a batch in a transaction all commit, or none", async () => {
  const products = [unique("product"), unique("product")];
  const place = (failing?: string) =>
    sql.begin((tx) =>
      runMany({
        store: postgresLedger(tx),
        userId: ada.userId,
        route: "orders",
        items: products.map((product) => ({ key: product, input: product })),
      }, async ({ input }) => {
        await tx`insert into public.orders (user_id, product)
          values (${ada.userId}, ${input})`;
        return { status: input === failing ? 503 : 201, body: null };
      })
    );
  for (const product of products) {
    await assertRejects(() => place(product), Error, "Cannot commit");
  }
  assertEquals(await Promise.all(products.map(orders)), [0, 0]);
  await place();
  assertEquals(await Promise.all(products.map(orders)), [1, 1]);
});

Deno.test("a duplicate waits for longer than a call of the ledger may take elsewhere, and replays", async () => {
  const order = anOrder();
  const placed = Promise.withResolvers<void>();
  const first = sql.begin(async (tx) => {
    await operation(tx, order);
    placed.resolve();
    await tx`select pg_sleep(${(TRY_MS.ask + 300) / 1000})`;
  });
  await placed.promise;
  const duplicate = await sql.begin((tx) => operation(tx, order));
  assertEquals([duplicate.status, duplicate.replayed], [201, true]);
  await first;
  assertEquals(await orders(order.product), 1);
});

Deno.test("a replay in a transaction says nothing on its connection later", async () => {
  const order = anOrder();
  await sql.begin((tx) => operation(tx, order));
  const one = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 1 });
  try {
    assert((await one.begin((tx) => operation(tx, order))).replayed);
    // Whoever has the connection next is not to be disturbed.
    await one.begin("read only", async (tx) => {
      await flushReplayCounts();
      await tx`select`;
    });
  } finally {
    await one.end();
  }
});

Deno.test("a claim that a transaction waited for in vain says nothing on its connection later", async () => {
  const order = anOrder();
  const one = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 1 });
  try {
    await sql.begin(async (tx) => {
      await operation(tx, order);
      await assertRejects(() =>
        one.begin(async (tx) => {
          await tx`set local lock_timeout = '1100ms'`;
          return await operation(tx, order);
        })
      );
    });
    await one.begin("read only", async (tx) => {
      await tx`select pg_sleep(0.5)`;
      await tx`select`;
    });
  } finally {
    await one.end();
  }
});

Deno.test("a reserved connection keeps a ledger without a transaction, too", async () => {
  const order = anOrder();
  const reserved = await sql.reserve();
  try {
    const failed = await operation(reserved, { ...order, status: 503 });
    assertEquals([failed.status, await statusOf(order.key)], [503, "failed"]);
    const placed = await operation(reserved, order);
    assertEquals([placed.status, placed.replayed], [201, false]);
  } finally {
    reserved.release();
  }
  assertEquals(await statusOf(order.key), "completed");
});

Deno.test("an exception in the function leaves its key free", async () => {
  const key = unique("key");
  const place = (product: string) =>
    sql.begin(async (tx) => {
      const claims = JSON.stringify({ sub: ada.userId, role: "authenticated" });
      await tx`select set_config('request.jwt.claims', ${claims}, true)`;
      const [answer] = await tx<{ outcome: string }[]>`
        select outcome from public.place_order(${product}, ${key}, ${
        "a".repeat(64)
      })`;
      return answer!.outcome;
    });
  await assertRejects(() => place(""), Error, "violates check constraint");
  assertEquals(await statusOf(key), undefined);
  assertEquals(await place(unique("product")), "completed");
});

Deno.test("at a higher isolation level a duplicate is refused with 40001, and sent again it replays", async () => {
  for (const level of ["repeatable read", "serializable"]) {
    const order = anOrder();
    const place = (begun: () => Promise<unknown>) =>
      sql.begin(`isolation level ${level}`, async (tx) => {
        // Its snapshot is from before the other has committed.
        await tx`select`;
        await begun();
        return await operation(tx, order);
      });
    const now = () => Promise.resolve();
    const first = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const duplicate = place(() => {
      started.resolve();
      return first.promise;
    }).catch((error) => error);
    await started.promise;
    assertEquals((await place(now)).replayed, false);
    first.resolve();
    const refused = await duplicate;
    assertEquals(
      [refused.code, await orders(order.product)],
      ["40001", 1],
      level,
    );
    assert((await place(now)).replayed, level);
    assertEquals(await orders(order.product), 1);
  }
});

Deno.test("whoever ends an account waits for the transaction that takes up one of its keys again, and neither deadlocks", async () => {
  const key = unique("key");
  const product = unique("product");
  const [user] = await sql<[{ id: string }]>`
    insert into auth.users (id) values (gen_random_uuid()) returning id`;
  await placeOrder(sql, user.id, key, "the first");
  await sql`update public.idempotency_keys
    set expires_at = now() - interval '1 second' where idempotency_key = ${key}`;
  let ended: Promise<unknown> | undefined;
  await sql.begin(async (tx) => {
    await tx`select public.idempotency_claim(
      ${user.id}, 'orders', ${key}, ${
      "a".repeat(64)
    }, gen_random_uuid(), 10, 60)`;
    ended = Promise.resolve(sql`delete from auth.users where id = ${user.id}`);
    const [row] = await tx`select pg_backend_pid() as pid`;
    await untilBlockedBy(sql, row!["pid"]);
    await tx`insert into public.orders (user_id, product) values (${user.id}, ${product})`;
  });
  await ended;
  assertEquals(await orders(product), 0);
});
