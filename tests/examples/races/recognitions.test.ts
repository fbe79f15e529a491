import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";
import { untilBlockedBy } from "../../support/until_blocked_by.ts";

const AT_ONCE = 50;

type User = Actor & { userId: string };

const stack = withStack();
let ada: User;
let ben: User;
let address: string;
let sql: postgres.Sql;

Deno.test.beforeAll(async () => {
  [ada, ben] = await Promise.all([signUp(stack()), signUp(stack())]);
  sql = postgres(Deno.env.get("DATABASE_URL") ?? "", { max: 8 });
  address = await sql.begin((tx) => addressIn(tx, ben));
});
Deno.test.afterAll(() => sql.end());

/** As the API does it: one transaction under the caller's role and claims. */
async function act(tx: postgres.ISql, { userId }: User): Promise<number> {
  const [session] = await tx<{ pid: number }[]>`
    select set_config('role', 'authenticated', true),
      set_config('request.jwt.claims', ${
    JSON.stringify({ sub: userId })
  }, true),
      pg_backend_pid() as pid`;
  return session!.pid;
}

async function addressIn(tx: postgres.ISql, user: User): Promise<string> {
  await act(tx, user);
  const [row] = await tx<{ address: string }[]>`
    select public.my_recognition_address() as address`;
  return row!.address;
}

async function sendIn(tx: postgres.ISql, requestId: string): Promise<string> {
  await act(tx, ada);
  const [row] = await tx<{ id: string }[]>`
    select (public.send_recognition(${requestId}, ${address}, 'm', 'craft', 1)).id`;
  return row!.id;
}

async function recorded(requestId: string): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from public.recognitions where request_id = ${requestId}`;
  return rows.map(({ id }) => id);
}

for (const ends of ["commit", "rollback"] as const) {
  Deno.test(`an attempt that meets another one waits for it, and after its ${ends} there is one recognition`, async () => {
    const requestId = unique("request");
    const first = await sql.reserve();
    await first`begin`;
    const id = await sendIn(first, requestId);
    const [session] = await first<{ pid: number }[]>`
      select pg_backend_pid() as pid`;
    const second = sql.begin((tx) => sendIn(tx, requestId));
    await untilBlockedBy(sql, session!.pid);
    await first.unsafe(ends);
    first.release();
    assertEquals(await second === id, ends === "commit");
    assertEquals(await recorded(requestId), [await second]);
  });
}

Deno.test("a user who asks for an address in many sessions at once has one", async () => {
  const cyd = await signUp(stack());
  const addresses = await Promise.all(
    Array.from({ length: 20 }, () => sql.begin((tx) => addressIn(tx, cyd))),
  );
  assertEquals(new Set(addresses).size, 1);
});

Deno.test(`${AT_ONCE} calls with one key make one recognition`, async () => {
  const request = {
    body: {
      recipientAddress: address,
      message: "m",
      category: "craft",
      points: 1,
    },
    key: unique("key"),
  };
  const answers = await Promise.all(
    Array.from(
      { length: AT_ONCE },
      () => call(stack(), ada, "recognitions", request),
    ),
  );
  const { body } = await call(stack(), ada, "recognitions", request);
  for (const { status, body: answered } of answers) {
    assert([201, 409].includes(status), `got ${status}`);
    if (status === 201) assertEquals(answered, body);
  }
  const { data } = await ada.client.from("recognitions").select("id")
    .eq("id", body.recognitionId).throwOnError();
  assertEquals(data.length, 1);
});
