import { assertEquals, assertRejects } from "@std/assert";
import {
  answerResponse,
  IdempotencyError,
  refusalResponse,
} from "../../shared/idempotency.ts";

const NOTHING = {
  outcome: "completed",
  attempt: 1,
  fence: 17,
  retry_after_seconds: null,
  status_code: null,
  response: null,
  response_encoding: null,
  response_headers: null,
  steps: null,
  completed_at: null,
};
const DONE = {
  status_code: 201,
  response: '{"order":1}',
  response_encoding: "text",
  response_headers: {
    "content-type": "application/vnd.order+json",
    "location": "/orders/1",
  },
};
const answer = (row: object) => answerResponse({ ...NOTHING, ...row }, "o-17");

for (
  const [outcome, mark] of [
    ["completed", "x-idempotency-stored"],
    ["replay", "x-idempotency-replay"],
  ] as const
) {
  Deno.test(`what a transaction answered is sent as it was recorded: ${outcome}`, async () => {
    const response = await answer({ outcome, ...DONE });
    assertEquals(response.status, 201);
    for (const [name, value] of Object.entries(DONE.response_headers)) {
      assertEquals(response.headers.get(name), value);
    }
    assertEquals(response.headers.get(mark), "true");
    assertEquals(await response.text(), DONE.response);
  });

  Deno.test(`an answer of a transaction that was not kept is told as such: ${outcome}`, async () => {
    const error = await assertRejects(() =>
      answer({ outcome, ...DONE, response: null, response_encoding: "none" })
    );
    const response = refusalResponse(error, new Request("http://x/orders"));
    const { code, storedStatus } = await response.json();
    assertEquals([code, storedStatus], ["RESPONSE_NOT_STORED", 201]);
  });
}

Deno.test("what a transaction did not run is refused as the contract says", async () => {
  for (
    const [row, status, code] of [
      [{ outcome: "mismatch" }, 422, "IDEMPOTENCY_KEY_REUSED"],
      [
        { outcome: "in_progress", retry_after_seconds: 1 },
        409,
        "REQUEST_IN_PROGRESS",
      ],
      [{ outcome: "abandoned" }, 409, "OUTCOME_UNKNOWN"],
    ] as const
  ) {
    const error = await assertRejects(() => answer(row), IdempotencyError);
    const response = refusalResponse(error, new Request("http://x/orders"));
    assertEquals([response.status, (await response.json()).code], [
      status,
      code,
    ]);
  }
  for (const outcome of ["claimed", "taken_over"]) {
    await assertRejects(
      () => answer({ outcome }),
      TypeError,
      'Cannot answer for the key "o-17": it is claimed and not completed',
    );
  }
});
