import { assertEquals, assertMatch } from "@std/assert";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { DRAFT, historyOf, newQuotation } from "../../support/quotations.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

const LINE = DRAFT.lines[0]!;

const BAD_DRAFTS: [what: string, body: unknown, status: number][] = [
  ["nothing", undefined, 400],
  ["no object", [], 400],
  ["broken JSON", '{"customerName":', 400],
  ["no customer", { currency: "EUR" }, 400],
  ["an empty customer", { ...DRAFT, customerName: "  " }, 400],
  ["a long customer", { ...DRAFT, customerName: "x".repeat(201) }, 400],
  ["a NUL character", { ...DRAFT, customerName: "a\0b" }, 400],
  ["half a surrogate", { ...DRAFT, customerName: "a\ud800" }, 400],
  ["a currency in small letters", { ...DRAFT, currency: "eur" }, 400],
  ["a day that is none", { ...DRAFT, validUntil: "2027-02-30" }, 400],
  ["a moment for a day", { ...DRAFT, validUntil: "2027-02-03T00:00Z" }, 400],
  ["a day of long ago", { ...DRAFT, validUntil: "0001-01-01" }, 400],
  ["an unknown field", { ...DRAFT, status: "accepted" }, 400],
  ["somebody else's name", { ...DRAFT, userId: crypto.randomUUID() }, 400],
  ["lines that are none", { ...DRAFT, lines: "many" }, 400],
  ["101 lines", { ...DRAFT, lines: Array(101).fill(LINE) }, 400],
  ["no quantity", { ...DRAFT, lines: [{ ...LINE, quantity: 0 }] }, 400],
  [
    "next to no quantity",
    { ...DRAFT, lines: [{ ...LINE, quantity: 1e-227 }] },
    400,
  ],
  [
    "a price over a trillion",
    {
      ...DRAFT,
      lines: [{ ...LINE, quantity: 0.001, unitPriceMinor: 1_000_000_000_001 }],
    },
    400,
  ],
  ["less than nothing", { ...DRAFT, lines: [{ ...LINE, quantity: -1 }] }, 400],
  [
    "four decimals",
    { ...DRAFT, lines: [{ ...LINE, quantity: 1.0001 }] },
    400,
  ],
  [
    "half a cent",
    { ...DRAFT, lines: [{ ...LINE, unitPriceMinor: 0.5 }] },
    400,
  ],
  [
    "a negative price",
    { ...DRAFT, lines: [{ ...LINE, unitPriceMinor: -1 }] },
    400,
  ],
  [
    "more tax than price",
    { ...DRAFT, lines: [{ ...LINE, taxBasisPoints: 10_001 }] },
    400,
  ],
  ["more than 256 KiB", { ...DRAFT, customerName: "x".repeat(270_000) }, 413],
];

for (const [what, body, status] of BAD_DRAFTS) {
  Deno.test(`a quotation with ${what} is refused with ${status} and leaves the key free`, async () => {
    const key = unique("key");
    const refused = await call(stack(), ada, "quotations", { body, key });
    assertEquals(refused.status, status, JSON.stringify(refused.body));
    assertEquals(
      refused.headers.get("content-type"),
      "application/problem+json",
    );
    assertEquals(refused.body.instance, "/quotations");
    const again = await call(stack(), ada, "quotations", { body, key });
    assertEquals([again.status, again.replayed], [status, false]);
  });
}

Deno.test("changes, status changes and conditions that are malformed are refused, and nothing changes", async () => {
  const { id } = await newQuotation(stack(), ada);
  const cases: [string, string, unknown, string, Record<string, string>?][] = [
    ["PATCH", "", {}, "REQUEST_INVALID"],
    ["PATCH", "", { status: "sent" }, "REQUEST_INVALID"],
    ["PATCH", "", { customerName: null }, "REQUEST_INVALID"],
    ["PUT", "", { customerName: "a" }, "REQUEST_INVALID"],
    ["POST", "/status", {}, "REQUEST_INVALID"],
    ["POST", "/status", { status: "won" }, "REQUEST_INVALID"],
    ["PATCH", "/status", { status: "SENT" }, "REQUEST_INVALID"],
    ["PUT", "", DRAFT, "IF_MATCH_INVALID", { "If-Match": "1" }],
    ["PUT", "", DRAFT, "IF_MATCH_INVALID", { "If-Match": '"x"' }],
    ["PUT", "", DRAFT, "UNSUPPORTED_CONTENT_TYPE", { "Content-Type": "a/b" }],
  ];
  for (const [method, path, body, code, headers = {}] of cases) {
    const answer = await call(stack(), ada, `quotations/${id}${path}`, {
      method,
      body,
      headers,
      key: unique("key"),
    });
    assertEquals(answer.body.code, code, `${method} ${path}`);
  }
  assertEquals((await historyOf(ada, id)).length, 1);
});

Deno.test("a list is asked for in bounds", async () => {
  for (
    const query of [
      "limit=0",
      "limit=101",
      "limit=two",
      "limit=1.5",
      "status=won",
      "cursor=nonsense",
      `cursor=${btoa('["2026-01-01","x"]')}`,
      `cursor=${btoa("[]")}`,
      `cursor=${"x".repeat(300)}`,
      "include_archived=yes",
    ]
  ) {
    const answer = await call(stack(), ada, `quotations?${query}`, {
      method: "GET",
    });
    assertEquals([answer.status, answer.body.code], [400, "REQUEST_INVALID"]);
    assertMatch(answer.body.detail, new RegExp(query.split("=")[0]!));
  }
});

Deno.test("an id that nothing has is 404, whatever is asked of it", async () => {
  for (const id of [crypto.randomUUID(), "17", "%00", "x".repeat(500)]) {
    for (
      const [method, path, body] of [
        ["GET", "", undefined],
        ["PUT", "", DRAFT],
        ["PATCH", "", { customerName: "a" }],
        ["DELETE", "", undefined],
        ["POST", "/restore", undefined],
        ["POST", "/status", { status: "sent" }],
      ] as const
    ) {
      const answer = await call(stack(), ada, `quotations/${id}${path}`, {
        method,
        body,
        key: unique("key"),
      });
      assertEquals(
        [answer.status, answer.body.code],
        [404, "QUOTATION_NOT_FOUND"],
        `${method} ${id}${path}`,
      );
    }
  }
});

Deno.test("a method that a path does not take is 405 and names those it does, a path that is none is 404", async () => {
  const { id } = await newQuotation(stack(), ada);
  for (
    const [method, path, allowed] of [
      ["DELETE", "", "GET, HEAD, POST, OPTIONS"],
      ["POST", `/${id}`, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"],
      ["GET", `/${id}/status`, "POST, PATCH, OPTIONS"],
      ["DELETE", `/${id}/restore`, "POST, OPTIONS"],
    ] as const
  ) {
    const answer = await call(stack(), ada, `quotations${path}`, { method });
    assertEquals([answer.status, answer.body.code], [
      405,
      "METHOD_NOT_ALLOWED",
    ]);
    assertEquals(answer.headers.get("allow"), allowed);
  }
  const lost = await call(stack(), ada, `quotations/${id}/lines/1`);
  assertEquals([lost.status, lost.body.code], [404, "ROUTE_NOT_FOUND"]);
});

Deno.test("who is not signed in gets nothing, the project's secret key neither", async () => {
  for (const actor of [anonymous(stack()), project(stack())]) {
    for (const method of ["GET", "POST"]) {
      const { status } = await call(stack(), actor, "quotations", {
        method,
        ...(method === "GET" ? {} : { body: DRAFT }),
      });
      assertEquals(status, 401);
    }
  }
});

Deno.test("a database that is out of reach is 503, not 500", async () => {
  await stack().sql("alter table public.quotations rename to hidden");
  try {
    const answer = await call(stack(), ada, "quotations", { method: "GET" });
    assertEquals([answer.status, answer.body.code], [
      503,
      "DATABASE_UNAVAILABLE",
    ]);
    assertEquals(answer.headers.get("retry-after"), "5");
  } finally {
    await stack().sql("alter table public.hidden rename to quotations");
  }
});
