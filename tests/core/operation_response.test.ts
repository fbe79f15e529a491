import { assertEquals } from "@std/assert";
import { operationResponse } from "../../shared/idempotency.ts";

async function sent(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
) {
  const outcome = { status, body, headers, replayed: false };
  const response = operationResponse(outcome);
  return [
    response.status,
    response.headers.get("content-type"),
    await response.text(),
  ];
}

Deno.test("an operation's outcome is sent as JSON, where it has a body and does not say otherwise", async () => {
  assertEquals(await sent(201, { order: 1 }), [
    201,
    "application/json",
    '{"order":1}',
  ]);
  assertEquals(
    await sent(422, { code: "x" }, {
      "Content-Type": "application/problem+json",
    }),
    [422, "application/problem+json", '{"code":"x"}'],
  );
  assertEquals(await sent(204, undefined), [204, null, ""]);
});
