import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { newOrganization } from "../../support/organizations.ts";
import { DRAFT, historyOf, newQuotation } from "../../support/quotations.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";
import { untilBlockedBy } from "../../support/until_blocked_by.ts";

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

Deno.test(`${AT_ONCE} creations with one key make one quotation`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const customerName = unique("customer");
    const request = { body: { ...DRAFT, customerName }, key: unique("key") };
    const answers = await many(() => call(stack(), ada, "quotations", request));
    const made = answers.filter(({ status }) => status === 201);
    assert(made.length >= 1);
    assertEquals(new Set(made.map(({ body }) => body.id)).size, 1);
    assert(
      answers.every(({ status, body }) =>
        status === 201 || body.code === "REQUEST_IN_PROGRESS"
      ),
    );
    const rows = await sql`select from public.quotations
      where customer_name = ${customerName}`;
    assertEquals(rows.length, 1);
  }
});

Deno.test(`${AT_ONCE} attempts at one creation, past the ledger, make one quotation`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const requestId = unique("request");
    const draft = {
      customer_name: "c",
      currency: "EUR",
      lines: [{ description: "d", quantity: 1, unit_price_minor: 7 }],
    };
    const documents = await many(() =>
      asAda(async (tx) => {
        const [row] = await tx`select public.create_quotation(
          ${tx.json(draft)}, ${requestId}) as made`;
        return row!["made"];
      })
    );
    assertEquals(new Set(documents.map(({ id }) => id)).size, 1);
    for (const { total_minor, lines } of documents) {
      assertEquals([total_minor, lines.length], [7, 1]);
    }
  }
});

Deno.test(`${AT_ONCE} status changes at once: one wins, the audit trail has one row`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { id } = await newQuotation(stack(), ada);
    await asAda((tx) =>
      tx`update public.quotations set status = 'sent' where id = ${id}`
    );
    const ends = ["accepted", "rejected", "expired"];
    const codes = await many((n) =>
      codeOf(asAda((tx) =>
        tx`select public.change_quotation_status(
          ${id}, ${ends[n % 3]!}, null, ${unique("request")})`
      ))
    );
    assertEquals(codes.filter((code) => code === null).length, 1);
    assertEquals(
      codes.filter((code) => code === "QT001").length,
      AT_ONCE - 1,
    );
    assertEquals((await historyOf(ada, id)).length, 3);
  }
});

Deno.test(`${AT_ONCE} saves of one version: one is kept, the others are told`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { id } = await newQuotation(stack(), ada);
    const answers = await many((n) =>
      call(stack(), ada, `quotations/${id}`, {
        method: "PATCH",
        body: { customerName: `tab ${n}`, lines: DRAFT.lines.slice(n % 2) },
        headers: { "If-Match": '"1"' },
        key: unique("key"),
      })
    );
    const kept = answers.filter(({ status }) => status === 200);
    assertEquals(kept.length, 1);
    assertEquals(
      answers.filter(({ status }) => status === 412).length,
      AT_ONCE - 1,
    );
    const { body } = await call(stack(), ada, `quotations/${id}`, {
      method: "GET",
    });
    assertEquals(body, kept[0]!.body);
  }
});

Deno.test("a line that is added while the draft is sent is sent along or refused, and the totals are of what was sent", async () => {
  for (let round = 0; round < 4 * ROUNDS; round++) {
    const { id, totalMinor } = await newQuotation(stack(), ada);
    const [line, sent] = await Promise.all([
      codeOf(asAda((tx) =>
        tx`insert into public.quotation_lines
            (quotation_id, position, description, quantity, unit_price_minor)
          values (${id}, 3, 'late', 1, 1000)`
      )),
      codeOf(asAda((tx) =>
        tx`select public.change_quotation_status(
          ${id}, 'sent', null, ${unique("request")})`
      )),
    ]);
    assertEquals(sent, null);
    assert(line === null || line === "QT004", `${line}`);
    const { body } = await call(stack(), ada, `quotations/${id}`, {
      method: "GET",
    });
    assertEquals(
      [body.status, body.totalMinor, body.lines.length],
      line === null ? ["sent", totalMinor + 1000, 3] : ["sent", totalMinor, 2],
    );
  }
});

Deno.test(`${AT_ONCE} lines that are added at once are all in the total`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const { id } = await newQuotation(stack(), ada, { lines: [] });
    const codes = await many((n) =>
      codeOf(asAda((tx) =>
        tx`insert into public.quotation_lines
            (quotation_id, position, description, quantity, unit_price_minor)
          values (${id}, ${n + 1}, 'one of many', 1, 1000)`
      ))
    );
    assertEquals(codes, Array(AT_ONCE).fill(null));
    const { body } = await call(stack(), ada, `quotations/${id}`, {
      method: "GET",
    });
    assertEquals(
      [body.totalMinor, body.version, body.lines.length],
      [AT_ONCE * 1000, 1 + AT_ONCE, AT_ONCE],
    );
  }
});

Deno.test("archiving and changing at once: the change comes first or is refused", async () => {
  for (let round = 0; round < 4 * ROUNDS; round++) {
    const { id } = await newQuotation(stack(), ada);
    const [changed, archived] = await Promise.all([
      codeOf(asAda((tx) =>
        tx`select public.update_quotation(${id},
          ${tx.json({ customer_name: "late" })}, null, ${unique("request")})`
      )),
      codeOf(
        asAda((tx) =>
          tx`update public.quotations set archived_at = now() where id = ${id}`
        ),
      ),
    ]);
    assertEquals(archived, null);
    assert(changed === null || changed === "SD001", `${changed}`);
    const history = await historyOf(ada, id);
    assertEquals(
      history.map(({ action }) => action),
      changed === null
        ? ["created", "updated", "archived"]
        : ["created", "archived"],
    );
  }
});

Deno.test("a colleague is put out before what they ask for, and finds nothing, or after it", async () => {
  const eve = await signUp(stack());
  const team = await newOrganization(ada);
  const member = { organization_id: team, user_id: eve.userId };
  const inside = { headers: { "X-Organization-Id": team } };
  const made = async (path: string, body: Record<string, unknown>) => {
    const key = unique("key");
    const answer = await call(stack(), ada, path, { body, key, ...inside });
    return answer.body.id;
  };
  const quotation = await made("quotations", DRAFT);
  const client = await made("crm/clients", { name: "Aouda" });
  const requests = [
    ["quotations", { body: DRAFT }],
    [`quotations/${quotation}`, { method: "PATCH", body: DRAFT }],
    [`quotations/${quotation}/status`, { body: { status: "sent" } }],
    ["crm/clients", { body: { name: "Fix" } }],
    [`crm/clients/${client}`, { method: "PATCH", body: { name: "Fix" } }],
    [`crm/clients/${client}`, { method: "DELETE" }],
  ] as const;
  const locks = {
    "is put out": (tx: postgres.TransactionSql) =>
      tx`delete from public.organization_members
        where organization_id = ${team} and user_id = ${eve.userId}`,
    "asks first": (tx: postgres.TransactionSql) =>
      tx`lock table public.quotation_history, public.crm_audit`,
  };
  for (const [path, request] of requests) {
    for (const [who, lock] of Object.entries(locks)) {
      await ada.client.from("organization_members").insert(member)
        .throwOnError();
      let asking: ReturnType<typeof call> | undefined;
      let leaving: PromiseLike<unknown> | undefined;
      await sql.begin(async (tx) => {
        const [session] = await tx<{ pid: number }[]>`
          select pg_backend_pid() as pid`;
        await lock(tx);
        asking = call(stack(), eve, path, {
          ...request,
          key: unique("key"),
          ...inside,
        });
        await untilBlockedBy(sql, session!.pid);
        if (who === "is put out") return;
        const [eves] = await sql<{ pid: number }[]>`
          select pid from pg_stat_activity
          where ${session!.pid} = any (pg_blocking_pids(pid))`;
        leaving = ada.client.from("organization_members").delete()
          .match(member).throwOnError().then();
        await untilBlockedBy(sql, eves!.pid);
      });
      const { status } = await asking!;
      await leaving;
      assertEquals(
        [path, who, status < 300 ? "done" : status],
        [path, who, who === "is put out" ? 404 : "done"],
      );
      const left = await sql`select from public.organization_members
        where organization_id = ${team}`;
      assertEquals(left.length, 1);
    }
  }
});
