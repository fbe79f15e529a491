import { assert, assertEquals } from "@std/assert";
import {
  createIdempotentFetch,
  IdempotencyProblemError,
  memoryStorage,
  problemOf,
} from "../../shared/client.ts";
import { endsAttempt } from "../../shared/client/answers.ts";
import {
  OutcomeUnknownError,
  refusalResponse,
  RequestInProgressError,
  ResponseNotStoredError,
} from "../../shared/idempotency.ts";
import { recorded, refused } from "../support/scripted_fetch.ts";
import { toEnvelope } from "../../functions/_kit/envelope.ts";

const asked = new Request("http://x/functions/v1/orders", { method: "POST" });

async function told(response: Response): Promise<IdempotencyProblemError> {
  const error = await problemOf(response);
  assert(error instanceof IdempotencyProblemError);
  return error!;
}

Deno.test("a success is no problem", async () => {
  assertEquals(await problemOf(new Response("", { status: 201 })), null);
});

Deno.test("the server's problem document is read member by member", async () => {
  const error = new RequestInProgressError("order-17", 2);
  const read = await told(refusalResponse(error, asked));
  const { name, code, status, title, detail, message } = read;
  assertEquals({ name, code, status, title, detail, message }, {
    name: "IdempotencyProblemError",
    code: "REQUEST_IN_PROGRESS",
    status: 409,
    title: "Request in progress",
    detail: error.message,
    message: error.message,
  });
  assertEquals([read.retryable, read.retryAfterMs], [true, 2000]);
  assertEquals(read.members["instance"], "/functions/v1/orders");
});

Deno.test("what may be sent again is what the server says", async () => {
  for (
    const error of [
      new OutcomeUnknownError("order-17"),
      new ResponseNotStoredError("order-17", 201),
    ]
  ) {
    const read = await told(refusalResponse(error, asked));
    assertEquals([read.code, read.retryable], [error.code, false]);
  }
});

Deno.test("the other style of errors is read too", async () => {
  const error = new RequestInProgressError("order-17", 2);
  const envelope = await toEnvelope(refusalResponse(error, asked));
  const { code, detail, retryable, retryAfterMs } = await told(envelope);
  assertEquals({ code, detail, retryable, retryAfterMs }, {
    code: "REQUEST_IN_PROGRESS",
    detail: error.message,
    retryable: true,
    retryAfterMs: 2000,
  });
});

for (
  const body of [
    "",
    "<h1>Bad gateway</h1>",
    "null",
    "7",
    '"x"',
    "[]",
    "{}",
    '{"code":7}',
    '{"error":null}',
    '{"code":"X","retryable":"yes"}',
  ]
) {
  Deno.test(`an answer with the body ${JSON.stringify(body)} is told by its status`, async () => {
    const response = new Response(body, { status: 502, statusText: "Bad" });
    const { code, title, detail, retryable } = await told(response);
    assertEquals({ code, title, detail, retryable }, {
      code: "HTTP_502",
      title: "Bad",
      detail: "Bad",
      retryable: true,
    });
    assertEquals(await response.text(), body);
  });
}

for (
  const [what, code, body] of [
    ["without a code", "HTTP_409", {
      title: "No credits",
      detail: "You have 2",
    }],
    ["with a sentence as its error", "ASKS", { code: "ASKS", error: "You?" }],
  ] as const
) {
  Deno.test(`a document ${what} is read with all its members`, async () => {
    const members = { ...body, cost: 3, retryable: true };
    const read = await told(Response.json(members, { status: 409 }));
    assertEquals([read.code, read.retryable], [code, true]);
    assertEquals(read.members, members);
    if ("detail" in body) assertEquals(read.message, body.detail);
  });
}

for (
  const [what, response, asFirst, asSecond] of [
    ["one that is recorded", recorded({}, 402), true, true],
    ["a key that is used", refused(422, "IDEMPOTENCY_KEY_REUSED"), true, true],
    ["a body not kept", refused(409, "RESPONSE_NOT_STORED"), true, true],
    ["a refusal", refused(404, "ORDER_NOT_FOUND"), true, false],
    ["a question", refused(409, "CREDIT_CONFIRMATION_REQUIRED"), false, false],
    ["an unknown outcome", refused(409, "OUTCOME_UNKNOWN"), false, false],
    ["a running request", refused(409, "REQUEST_IN_PROGRESS"), false, false],
    ["an expired token", refused(401, "TOKEN_EXPIRED"), false, false],
    ["too many requests", refused(429, "RATE_LIMITED"), false, false],
    ["a failure", refused(500, "BROKEN"), false, false],
    [
      "a ledger that is not set up",
      refused(500, "LEDGER_MISCONFIGURED", { retryable: false }),
      false,
      false,
    ],
    [
      "400 to be sent again",
      refused(400, "X", { retryable: true }),
      false,
      false,
    ],
  ] as const
) {
  Deno.test(`an attempt ${asFirst ? "ends" : "goes on"} with ${what}, and ${asSecond ? "ends" : "goes on"} after a lost answer`, async () => {
    const error = await told(response);
    assertEquals(
      [endsAttempt(error, "mine", true), endsAttempt(error, "mine", false)],
      [asFirst, asSecond],
    );
  });
}

Deno.test("an attempt goes on with what is no answer", () => {
  const error = new TypeError("connection reset");
  assertEquals(endsAttempt(error, "mine", true), false);
});

Deno.test("an attempt goes on with a refusal of what was sent under another key", async () => {
  const send = (headers: HeadersInit) =>
    createIdempotentFetch({
      match: () => true,
      storage: memoryStorage(),
      fetch: () => Promise.resolve(refused(404, "ADDRESS_UNKNOWN")),
    })("http://x/functions/v1/mails", { method: "POST", headers });
  const other = await told(await send({}));
  assertEquals(endsAttempt(other, "mine", true), false);
  const own = await told(await send({ "Idempotency-Key": "mine" }));
  assertEquals(endsAttempt(own, "mine", true), true);
});
