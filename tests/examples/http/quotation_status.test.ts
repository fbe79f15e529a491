import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { STATUSES } from "../../../functions/quotations/quotation.ts";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { become, historyOf, newQuotation } from "../../support/quotations.ts";
import { runs } from "../../support/runs.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

// Written down a second time, on purpose: the first is in SQL.
const LEGAL: Record<string, string[]> = {
  draft: ["sent"],
  sent: ["accepted", "rejected", "expired"],
  accepted: [],
  rejected: [],
  expired: [],
};

const yesterday = () =>
  new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);

Deno.test("of a random walk only the legal steps succeed, and each is in the audit trail", async () => {
  const walks = fc.array(fc.constantFrom(...STATUSES), {
    minLength: 1,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(walks, async (walk) => {
      const { id } = await newQuotation(stack(), ada);
      const steps: [string, string][] = [];
      let at = "draft";
      for (const next of walk) {
        const isLegal = LEGAL[at]!.includes(next);
        const status = await become(stack(), ada, id, next);
        assertEquals(status, isLegal ? 200 : 409, `${at} → ${next}`);
        if (!isLegal) continue;
        steps.push([at, next]);
        at = next;
      }
      const history = await historyOf(ada, id);
      assertEquals(
        history.slice(1).map((row) => [row.from_status, row.to_status]),
        steps,
      );
    }),
    { numRuns: runs(12) },
  );
});

Deno.test("the audit trail tells who did what, when, from and to which status", async () => {
  const { id } = await newQuotation(stack(), ada);
  await become(stack(), ada, id, "sent");
  await become(stack(), ada, id, "accepted");
  await call(stack(), ada, `quotations/${id}`, { method: "DELETE" });
  await call(stack(), ada, `quotations/${id}/restore`);
  const history = await historyOf(ada, id);
  assertEquals(
    history.map((row) => [
      row.action,
      row.from_status,
      row.to_status,
      row.version,
    ]),
    [
      ["created", null, "draft", 1],
      ["status_changed", "draft", "sent", 2],
      ["status_changed", "sent", "accepted", 3],
      ["archived", "accepted", "accepted", 4],
      ["restored", "accepted", "accepted", 5],
    ],
  );
  for (const { changed_by, changed_at, user_id } of history) {
    assertEquals([changed_by, user_id], [ada.userId, ada.userId]);
    assertEquals(Math.abs(Date.parse(changed_at) - Date.now()) < 60_000, true);
  }
});

Deno.test("a retry of a status change gets the stored answer and leaves one row in the audit trail", async () => {
  const { id } = await newQuotation(stack(), ada);
  const request = { body: { status: "sent" }, key: unique("key") };
  const first = await call(stack(), ada, `quotations/${id}/status`, request);
  const again = await call(stack(), ada, `quotations/${id}/status`, request);
  assertEquals([first.status, first.body.version], [200, 2]);
  assertEquals([again.replayed, again.body], [true, first.body]);
  assertEquals((await historyOf(ada, id)).length, 2);
});

Deno.test("two status changes at once: one wins, the other is told so, the audit trail has one row", async () => {
  for (let round = 0; round < 3; round++) {
    const { id } = await newQuotation(stack(), ada);
    await become(stack(), ada, id, "sent");
    const statuses = await Promise.all([
      become(stack(), ada, id, "accepted"),
      become(stack(), ada, id, "rejected"),
    ]);
    assertEquals(statuses.toSorted(), [200, 409]);
    const changes = (await historyOf(ada, id)).slice(2);
    const winner = statuses[0] === 200 ? "accepted" : "rejected";
    assertEquals(changes.map((row) => row.to_status), [winner]);
  }
});

Deno.test("a refused status change leaves the key free for when it is allowed", async () => {
  const { id } = await newQuotation(stack(), ada);
  const request = { body: { status: "accepted" }, key: unique("key") };
  const early = await call(stack(), ada, `quotations/${id}/status`, request);
  assertEquals([early.status, early.body.code], [
    409,
    "STATUS_CHANGE_NOT_ALLOWED",
  ]);
  assertEquals(early.body.instance, `/quotations/${id}/status`);
  await become(stack(), ada, id, "sent");
  const late = await call(stack(), ada, `quotations/${id}/status`, request);
  assertEquals([late.status, late.body.status], [200, "accepted"]);
});

Deno.test("nothing without lines, or past its last day, is sent or accepted", async () => {
  const refused = async (id: string, status: string) => {
    const { body } = await call(stack(), ada, `quotations/${id}/status`, {
      body: { status },
      key: unique("key"),
    });
    return body.code;
  };
  const empty = await newQuotation(stack(), ada, { lines: [] });
  assertEquals(await refused(empty.id, "sent"), "QUOTATION_EMPTY");
  const old = await newQuotation(stack(), ada, { validUntil: yesterday() });
  assertEquals(await refused(old.id, "sent"), "QUOTATION_OVERDUE");
  const lapsed = await newQuotation(stack(), ada);
  await become(stack(), ada, lapsed.id, "sent");
  await stack().sql("alter table public.quotations disable trigger user");
  await stack().sql(
    "update public.quotations set valid_until = $2 where id = $1",
    [lapsed.id, yesterday()],
  );
  await stack().sql("alter table public.quotations enable trigger user");
  assertEquals(await refused(lapsed.id, "accepted"), "QUOTATION_OVERDUE");
  assertEquals(await become(stack(), ada, lapsed.id, "expired"), 200);
});

Deno.test("what was sent does not change, neither in whole nor in part", async () => {
  const sent = await newQuotation(stack(), ada);
  await become(stack(), ada, sent.id, "sent");
  const { customerName, currency } = sent;
  for (
    const [method, body] of [
      ["PATCH", { customerName: "Another" }],
      ["PATCH", { lines: [] }],
      ["PATCH", { customerName }],
      ["PUT", { customerName, currency }],
    ] as const
  ) {
    const answer = await call(stack(), ada, `quotations/${sent.id}`, {
      method,
      body,
      key: unique("key"),
    });
    assertEquals([answer.status, answer.body.code], [
      409,
      "QUOTATION_NOT_DRAFT",
    ]);
  }
  const { body } = await call(stack(), ada, `quotations/${sent.id}`, {
    method: "GET",
  });
  assertEquals([body.version, body.lines], [2, sent.lines]);
});
