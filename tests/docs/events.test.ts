import { assert, assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { codeBlocks, importBlock } from "../support/documented.ts";
import { unique } from "../support/probe.ts";
import { behindGateway } from "../support/serve.ts";
import { project, signUp, withStack } from "../support/stack.ts";
import { books, subscribe, type Subscriber } from "../support/subscriber.ts";

// docs/recipes/events.md, block by block.
const PAGE = "recipes/events.md";

const stack = withStack();
const party = { title: "Party", startsAt: "2026-12-24T18:00:00Z" };

function hasCurl(): boolean {
  try {
    return new Deno.Command("curl", { args: ["--version"] }).outputSync()
      .success;
  } catch {
    return false;
  }
}

// Every answer goes to stderr too, the body in a line and the status in another.
const KEEP_ANSWERS = String.raw`
curl() {
  local answer
  answer=$(command curl -w '\n%{http_code}' "$@")
  echo "$answer" >&2
  echo "$answer" | sed '$d'
}
`;

Deno.test({
  name: "the recipe's lines of shell do what they say",
  ignore: !hasCurl(),
  async fn() {
    const { apiUrl, publishableKey, secretKey } = stack();
    const script = (await codeBlocks(PAGE, "sh")).join("\n");
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-eo", "pipefail", "-c", `${KEEP_ANSWERS}${script}`],
      env: {
        API_URL: apiUrl,
        PUBLISHABLE_KEY: publishableKey,
        SECRET_KEY: secretKey,
      },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(code, 0, text(stdout));
    const lines = text(stderr).trimEnd().split("\n");
    const answers = [];
    // The first pair is the sign-up.
    for (let at = 2; at < lines.length; at += 2) {
      answers.push({
        body: JSON.parse(lines[at] || "null"),
        status: Number(lines[at + 1]),
      });
    }
    assertEquals(
      answers.map(({ status, body }) => [
        status,
        body?.cost,
        body?.balance,
      ]),
      [
        [201, 0, 0],
        [201, 0, 0],
        [201, 0, 0],
        [409, 5, 0],
        [409, 5, 0],
        [402, 5, 0],
        [201, undefined, undefined],
        [201, 5, 15],
        [201, 5, 15],
        [201, 5, 15],
        // Read for its id.
        [201, 5, 15],
        [409, 10, 15],
        [200, 10, 5],
        [200, undefined, undefined],
        [200, undefined, undefined],
      ],
    );
    const [list, entries] = answers.slice(-2);
    assertEquals(list!.body.events.length, 4);
    assertEquals(
      entries!.body.map(({ amount }: { amount: number }) => amount)
        .sort((a: number, b: number) => a - b),
      [-10, -5, 20],
    );
  },
});

Deno.test("the recipe's client asks, confirms with the same key, and stops at a no", async () => {
  const [block] = await codeBlocks(PAGE, "ts");
  const { createEvent } = await importBlock(block!);
  const ada = await subscribe(stack(), { included: 1, cost: 5, credits: 9 });
  const asked: [number, number][] = [];
  const create = (answer: boolean) =>
    createEvent(
      ada.client,
      party,
      unique("key"),
      (cost: number, balance: number) => {
        asked.push([cost, balance]);
        return answer;
      },
    );
  assertEquals((await create(true)).cost, 0);
  assertEquals(asked, []);
  assertEquals(await create(false), null);
  assertEquals((await create(true)).balance, 4);
  assertEquals(asked, [[5, 9], [5, 9]]);
  await assertRejects(() => create(true), Error, "non-2xx");
  assertEquals((await books(ada)).spends, [-5]);
});

Deno.test("the recipe's client, pressed again after the answer was lost, charges once", async () => {
  const [block] = await codeBlocks(PAGE, "ts");
  const { createEvent } = await importBlock(block!);
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 20 });
  let isLost = true;
  const { apiUrl, publishableKey } = stack();
  const client = createClient(apiUrl, publishableKey, {
    auth: { persistSession: false },
    global: {
      headers: ada.headers,
      async fetch(input, init) {
        const response = await fetch(input, init);
        if (!isLost || response.status !== 201) return response;
        isLost = false;
        await response.body?.cancel();
        throw new TypeError("the network is down");
      },
    },
  });
  const key = unique("key");
  const press = () => createEvent(client, party, key, () => true);
  await assertRejects(press, Error, "Failed to send");
  assertEquals((await press()).cost, 5);
  assertEquals((await books(ada)).spends, [-5]);
});

/** Asks, repeats the question, confirms twice: one event, paid for once. */
async function asksAndChargesOnce(
  create: (who: Subscriber, confirm: boolean, key: string) => Promise<
    { status: number; outcome: string; balance: number; replayed: boolean }
  >,
): Promise<void> {
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 9 });
  const key = unique("key");
  const answers = [];
  for (const confirm of [false, false, true, true, false]) {
    const { status, outcome, balance, replayed } = await create(
      ada,
      confirm,
      key,
    );
    answers.push([status, outcome, balance, replayed]);
  }
  assertEquals(answers, [
    [409, "question", 9, false],
    [409, "question", 9, false],
    [201, "created", 4, false],
    [201, "created", 4, true],
    [201, "created", 4, true],
  ]);
  assertEquals((await books(ada)).spends, [-5]);
}

Deno.test("the recipe's handler asks and charges once", async () => {
  const block = (await codeBlocks(PAGE, "ts"))[1]!;
  const handler = behindGateway(
    stack(),
    (await importBlock(block)).default.fetch,
  );
  await asksAndChargesOnce(async ({ headers }, confirm, key) => {
    // As the recipe's client confirms.
    const query = confirm ? "?confirm_credit=1&max_cost=5" : "";
    const response = await handler(
      new Request(`http://x/events${query}`, {
        method: "POST",
        headers: {
          ...headers,
          "Content-Type": "application/json",
          "Idempotency-Key": key,
        },
        body: JSON.stringify(party),
      }),
    );
    const { status } = response;
    const replayed = response.headers.has("x-idempotency-replay");
    return { status, replayed, ...await response.json() };
  });
});

Deno.test("the recipe's handler charges nobody who agreed to a price that is no number", async () => {
  const block = (await codeBlocks(PAGE, "ts"))[1]!;
  const handler = behindGateway(
    stack(),
    (await importBlock(block)).default.fetch,
  );
  const ada = await subscribe(stack(), { included: 0, cost: 5, credits: 9 });
  const key = unique("key");
  const confirm = async (maxCost: string) => {
    const response = await handler(
      new Request(`http://x/events?confirm_credit=1&max_cost=${maxCost}`, {
        method: "POST",
        headers: {
          ...ada.headers,
          "Content-Type": "application/json",
          "Idempotency-Key": key,
        },
        body: JSON.stringify(party),
      }),
    );
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await confirm("undefined"), 400);
  assertEquals((await books(ada)).spends, []);
  assertEquals(await confirm("5"), 201);
  assertEquals((await books(ada)).spends, [-5]);
});

Deno.test("the recipe's plain operation asks and charges once", async () => {
  const block = (await codeBlocks(PAGE, "ts"))[2]!;
  const { createEventOnce } = await importBlock(block);
  const event = { ...party, location: null, description: null };
  await asksAndChargesOnce(
    async ({ client: supabase, userId }, confirm, key) => {
      const { status, body, replayed } = await createEventOnce(
        {
          supabase,
          supabaseAdmin: project(stack()).client,
          userId,
          key,
        },
        event,
        confirm,
      );
      return { status, replayed, ...body };
    },
  );
});

Deno.test("the recipe's queries tell what was spent and what became of requests, and find books that do not balance", async () => {
  const [byDay, byOutcome, balances, spends, raise, ...others] =
    await codeBlocks(PAGE, "sql");
  assertEquals(others, []);
  const { sql } = stack();
  const before = await sql<{ credits: string }>(byDay!);
  const ada = await subscribe(stack(), { included: 1, cost: 5, credits: 9 });
  const create = (key: string, body: unknown, query = "") =>
    fetch(`${stack().apiUrl}/functions/v1/events${query}`, {
      method: "POST",
      headers: {
        ...ada.headers,
        "Content-Type": "application/json",
        "Idempotency-Key": key,
      },
      body: JSON.stringify(body),
    }).then((response) => response.body?.cancel());
  await stack().sql("delete from public.idempotency_keys");
  await create(unique("key"), party);
  for (const _ of [1, 2]) {
    await create(unique("key"), party, "?confirm_credit=1");
  }
  await create(unique("key"), party);
  await create(unique("key"), {});
  assertEquals(
    (await sql<{ outcome: string; count: number }>(byOutcome!))
      .map(({ outcome, count }) => [outcome, Number(count)])
      .sort(),
    [
      ["asked, not confirmed", 1],
      ["bad input", 1],
      ["created", 2],
      ["too few credits", 1],
    ],
  );
  const total = (rows: { credits: string }[]) =>
    rows.reduce((sum, { credits }) => sum + Number(credits), 0);
  assertEquals(
    total(await sql<{ credits: string }>(byDay!)) - total(before),
    5,
  );

  assertEquals([await sql(balances!), await sql(spends!)], [[], []]);
  await sql(
    "update public.credit_balances set balance = 1 where user_id = $1",
    [
      ada.userId,
    ],
  );
  await sql(
    "update public.events set cost = 4 where user_id = $1 and cost = 5",
    [
      ada.userId,
    ],
  );
  assertEquals((await sql(balances!)).length, 1);
  assertEquals((await sql(spends!)).length, 1);

  await sql(raise!);
  const ben = await signUp(stack());
  for (let n = 0; n < 5; n++) {
    const { data } = await ben.client.rpc("create_event", {
      p_request_id: unique("request"),
      p_title: "Party",
      p_starts_at: party.startsAt,
    }).throwOnError();
    assert((data as { outcome: string }).outcome === "created", `event ${n}`);
  }
});
