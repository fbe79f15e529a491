import { assertEquals, assertMatch } from "@std/assert";
import { withIdempotency } from "../../shared/idempotency.ts";
import { call } from "../support/call.ts";
import { unique } from "../support/probe.ts";
import { anonymous, project as secretKeyHolder } from "../support/stack.ts";
import { takesEffectOnce } from "./once.ts";
import { withGuides } from "./project.ts";

// Guides whose caller is the project's own database. pg_net, Vault and pgmq are
// not on this machine: platform.sql stands in for them, and what pg_net's worker
// would send, the tests send.
const guides = withGuides();

const mails = (recipient: string) =>
  guides().count("mails", "recipient", recipient);

/** What became of the requests that the database has queued. */
async function outcomes() {
  const answers = await guides().sendRequests();
  return await Promise.all(answers.map(async (response) => {
    await response.body?.cancel();
    return [response.status, response.headers.has("x-idempotency-replay")];
  }));
}

const ran = [200, false];
const replayed = [200, true];

Deno.test("a database webhook: one mail a row, and what got lost is sent again", async () => {
  const { stack, sql } = guides();
  const [trigger, sweep] = await sql("guides/database-webhook.md");
  await stack.sql(trigger!);
  const signUp = (email: string) =>
    stack.sql("insert into public.signups (email) values ($1)", [email]);

  const ada = `${unique("ada")}@example.com`;
  await signUp(ada);
  assertEquals(await outcomes(), [ran]);
  await stack.sql("update public.signups set email = 'new ' || email");
  await stack.sql(sweep!);
  await stack.sql(sweep!);
  assertEquals(await outcomes(), [replayed, replayed]);
  assertEquals([await mails(ada), await mails(`new ${ada}`)], [1, 0]);

  const ben = `${unique("ben")}@example.com`;
  await signUp(ben);
  await stack.sql("delete from net.http_request_queue");
  await stack.sql(sweep!);
  assertEquals((await outcomes()).sort(), [ran, replayed].sort());
  assertEquals(await mails(ben), 1);
});

Deno.test("a database webhook: each version of a row is a change of its own, each row once", async () => {
  const { stack } = guides();
  const recipient = unique("eve");
  const change = (id: string, type: string, version: number) => {
    const row = { id, email: recipient, version };
    return call(stack, secretKeyHolder(stack), "welcome", {
      body: {
        type,
        table: "signups",
        schema: "public",
        record: row,
        old_record: null,
      },
    });
  };
  const id = crypto.randomUUID();
  for (
    const [type, version, isReplay] of [
      ["INSERT", 1, false],
      ["UPDATE", 2, false],
      ["UPDATE", 3, false],
      ["UPDATE", 2, true],
      ["INSERT", 3, true],
    ] as const
  ) {
    const answer = await change(id, type, version);
    assertEquals([answer.status, answer.replayed], [200, isReplay]);
  }
  assertEquals(await mails(recipient), 3);
});

Deno.test("a schedule: six calls of a tick close the day once, failures are tried again", async () => {
  const { stack, sql, count } = guides();
  const [secrets, schedule] = await sql("guides/pg-cron.md");
  await stack.sql(secrets!.split(";")[0]!);
  await stack.sql(secrets!.split(";")[1]!);
  await stack.sql(schedule!);
  const [job] = await stack.sql<{ schedule: string; command: string }>(
    "select schedule, command from cron.job where jobname = 'close-day'",
  );
  assertEquals(job!.schedule, "*/10 0 * * *");
  // Nor is it to run by itself, should this be the first hour of a day.
  await stack.sql("delete from cron.job where jobname = 'close-day'");
  const tick = () => stack.sql(job!.command);

  await stack.sql("alter table public.closings rename to closings_away");
  await tick();
  assertEquals(await outcomes(), [[500, false]]);
  await stack.sql("alter table public.closings_away rename to closings");
  await tick();
  await tick();
  const both = await outcomes();
  assertEquals(
    both.filter(([status, isReplay]) => status === 200 && !isReplay).length,
    1,
  );
  await tick();
  assertEquals(await outcomes(), [replayed]);
  const [closing] = await stack.sql<{ tick: string }>(
    "select tick from public.closings",
  );
  assertMatch(closing!.tick, /^close-day-\d{8}$/);
  assertEquals(await count("closings"), 1);

  // As curl sends it, without a body.
  const key = closing!.tick;
  const again = await call(stack, secretKeyHolder(stack), "close-day", { key });
  assertEquals([again.status, again.replayed], replayed);

  const other = { "Idempotency-Key": "close-day-20260101" };
  const byHand = () =>
    call(stack, secretKeyHolder(stack), "close-day", { headers: other });
  await takesEffectOnce(
    (name) => call(stack, secretKeyHolder(stack), "close-day", { key: name }),
    (name) => count("closings", "tick", name),
  );
  assertEquals([(await byHand()).replayed, (await byHand()).replayed], [
    false,
    true,
  ]);
});

Deno.test("a queue: the work is done once, whenever its worker dies", async () => {
  const { stack } = guides();
  const work = () => call(stack, secretKeyHolder(stack), "send-mails");
  const send = async (message: unknown) => {
    const [row] = await stack.sql<{ send: string }>(
      "select send from pgmq_public.send('mails', $1::text::jsonb)",
      [JSON.stringify(message)],
    );
    return Number(row!.send);
  };
  const since = async (id: number) => {
    const [row] = await stack.sql<{ enqueued_at: string }>(
      "select enqueued_at::text from pgmq_public.q_mails where msg_id = $1",
      [id],
    );
    return row!.enqueued_at;
  };
  const recipient = unique("ada");
  const id = await send({ recipient, subject: "Hello" });
  const at = await since(id);
  assertEquals((await work()).body, { [id]: 200 });
  assertEquals((await work()).body, {});

  // As if the worker had died between the work and the delete.
  const put = (at: string) =>
    stack.sql(
      "insert into pgmq_public.q_mails (msg_id, message, enqueued_at) overriding system value values ($1, $2::text::jsonb, $3)",
      [id, JSON.stringify({ recipient, subject: "Hello" }), at],
    );
  await put(at);
  assertEquals((await work()).body, { [id]: 200 });
  assertEquals([await mails(recipient), (await work()).body], [1, {}]);

  // As if the queue had been dropped and created again: the same id, later.
  await put(new Date().toISOString());
  assertEquals((await work()).body, { [id]: 200 });
  assertEquals(await mails(recipient), 2);

  // As if the message had shown up again while another worker was at it.
  const message = { recipient: unique("crowd"), subject: "Hello" };
  const busy = await send(message);
  const finish = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const other = withIdempotency({
    supabase: secretKeyHolder(stack).client,
    userId: null,
    route: "queue/mails",
    key: `message-${busy}-${Date.parse(await since(busy))}`,
    payload: message,
  }, async () => {
    started.resolve();
    await finish.promise;
    return { status: 200, body: null };
  });
  await started.promise;
  assertEquals((await work()).body, { [busy]: 409 });
  finish.resolve();
  await other;
  assertEquals((await work()).body, {});
  await stack.sql("update pgmq_public.q_mails set vt = clock_timestamp()");
  assertEquals((await work()).body, { [busy]: 200 });
  assertEquals(await mails(message.recipient), 0);

  const broken = await send({ recipient: null, subject: "Hello" });
  assertEquals((await work()).body, { [broken]: 500 });
  const left = await stack.sql("select from pgmq_public.q_mails");
  assertEquals(left.length, 1);
});

for (const name of ["welcome", "close-day", "send-mails"]) {
  Deno.test(`${name} refuses whoever has not the secret key`, async () => {
    const { stack } = guides();
    const headers = { "Idempotency-Key": unique("key") };
    for (
      const caller of [anonymous(stack).headers, { apikey: "sb_secret_x" }]
    ) {
      const response = await fetch(`${stack.apiUrl}/functions/v1/${name}`, {
        method: "POST",
        headers: { ...caller, ...headers },
        body: "{}",
      });
      await response.body?.cancel();
      assertEquals(response.status, 401);
    }
  });
}

Deno.test("a schedule that names no tick is refused", async () => {
  const { stack } = guides();
  const { status, body } = await call(
    stack,
    secretKeyHolder(stack),
    "close-day",
  );
  assertEquals([status, body.code], [400, "IDEMPOTENCY_KEY_MISSING"]);
});
