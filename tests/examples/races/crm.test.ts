import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const AT_ONCE = 20;
const ROUNDS = 3;

const stack = withStack();
let ada: Actor & { userId: string };
let sql: postgres.Sql;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: AT_ONCE });
});
Deno.test.afterAll(() => sql.end());

const many = <T>(ask: (n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: AT_ONCE }, (_, n) => ask(n)));

/** As the API does it: one transaction under Ada's role and claims. */
function asAda<T>(work: (tx: postgres.TransactionSql) => Promise<T>) {
  return sql.begin(async (tx) => {
    const claims = JSON.stringify({ sub: ada.userId });
    await tx`select set_config('role', 'authenticated', true),
      set_config('request.jwt.claims', ${claims}, true)`;
    return await work(tx);
  });
}

/** The SQLSTATE that work ends with; `null` when it succeeds. */
const codeOf = (work: Promise<unknown>): Promise<string | null> =>
  work.then(() => null, ({ code }) => code);

const create = (
  tx: postgres.TransactionSql,
  resource: string,
  fields: postgres.JSONValue,
  id: string,
) =>
  tx`select public.crm_create(${resource}, ${tx.json(fields)}, null, ${
    tx.json({ id })
  }) as made`;

const change = (
  tx: postgres.TransactionSql,
  action: string,
  id: string,
  fields: postgres.JSONValue,
  versions: number[] | null,
  request = unique("request"),
  resource = "vehicles",
) =>
  tx`select public.crm_change(${resource}, ${action}, ${id}, ${
    tx.json(fields)
  }, ${versions}, ${tx.json({ id: request })}) as made`;

const vehicle = () => ({
  plate: crypto.randomUUID().slice(0, 18),
  model: "Sledge",
  seats: 5,
});

async function newVehicle(fields = vehicle()): Promise<string> {
  const { status, body } = await call(stack(), ada, "crm/vehicles", {
    body: fields,
    key: unique("key"),
  });
  assertEquals(status, 201);
  return body.id;
}

const trailOf = async (id: string) =>
  (await sql`select action from public.crm_audit
    where row_id = ${id} order by id`).map(({ action }) => action);

Deno.test(`${AT_ONCE} attempts at one creation, past the ledger, make one row`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const request = unique("request");
    const fields = vehicle();
    const made = await many(() =>
      asAda(async (tx) => {
        const [row] = await create(tx, "vehicles", fields, request);
        return row!["made"].id as string;
      })
    );
    assertEquals(new Set(made).size, 1);
    assertEquals(await trailOf(made[0]!), ["created"]);
  }
});

Deno.test(`${AT_ONCE} rows with one plate: one is made, the others are told`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const fields = vehicle();
    const codes = await many(() =>
      codeOf(asAda((tx) => create(tx, "vehicles", fields, unique("request"))))
    );
    assertEquals(codes.filter((code) => code === null).length, 1);
    assertEquals(codes.filter((code) => code === "CR006").length, AT_ONCE - 1);
  }
});

Deno.test(`${AT_ONCE} saves of one version: one is kept, the others are told`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const id = await newVehicle();
    const codes = await many((n) =>
      codeOf(asAda((tx) => change(tx, "update", id, { seats: n + 1 }, [1])))
    );
    assertEquals(codes.filter((code) => code === null).length, 1);
    assertEquals(codes.filter((code) => code === "CR005").length, AT_ONCE - 1);
    assertEquals(await trailOf(id), ["created", "updated"]);
  }
});

Deno.test(`${AT_ONCE} attempts at one change make it once, also where it is one among others`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const id = await newVehicle();
    const request = unique("request");
    const codes = await many((n) =>
      codeOf(
        asAda((tx) =>
          n % 2 === 0
            ? change(tx, "update", id, { seats: 9 }, null, request)
            : change(tx, "update", id, { model: `model ${n}` }, null)
        ),
      )
    );
    assertEquals(codes, Array(AT_ONCE).fill(null));
    assertEquals((await trailOf(id)).length, 2 + AT_ONCE / 2);
  }
});

Deno.test("archiving, restoring and changing at once leave a trail that could have been one after the other", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const id = await newVehicle();
    const codes = await many((n) =>
      codeOf(
        asAda((tx) =>
          change(
            tx,
            ["archive", "restore", "update"][n % 3]!,
            id,
            { seats: 7 },
            null,
          )
        ),
      )
    );
    assert(codes.every((code) => code === null || code === "SD001"));
    let isArchived = false;
    for (const action of await trailOf(id)) {
      if (action !== "created") {
        assertEquals(isArchived, action === "restored", action);
      }
      if (action === "archived" || action === "restored") {
        isArchived = action === "archived";
      }
    }
  }
});

Deno.test("rows and what they refer to are made and changed at once without a deadlock", async () => {
  const client = await call(stack(), ada, "crm/clients", {
    body: { name: "Fogg" },
    key: unique("key"),
  });
  const booking = {
    title: "Around the world",
    client_id: client.body.id,
    starts_on: "2027-10-02",
    ends_on: "2027-12-20",
    travellers: 2,
    total_minor: 1,
    currency: "GBP",
    status: "draft",
  };
  const codes = await many((n) =>
    codeOf(asAda(async (tx) => {
      await create(tx, "bookings", booking, unique("request"));
      await change(
        tx,
        "update",
        client.body.id,
        { name: `Fogg ${n}` },
        null,
        unique("request"),
        "clients",
      );
      await create(tx, "bookings", booking, unique("request"));
    }))
  );
  assertEquals(codes, Array(AT_ONCE).fill(null));
});
