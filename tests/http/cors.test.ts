import { assert, assertEquals } from "@std/assert";
import { probe, unique } from "../support/probe.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
const ORIGIN = "https://shop.example";
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

function names(response: Response, header: string): string[] {
  return (response.headers.get(header) ?? "").toLowerCase().split(/\s*,\s*/);
}

for (
  const path of [
    "probe",
    "events",
    "process-document",
    "start-training",
    "generate-training-data",
  ]
) {
  Deno.test(`the preflight of ${path} lets the key headers in`, async () => {
    const response = await fetch(`${stack().apiUrl}/functions/v1/${path}`, {
      method: "OPTIONS",
      headers: {
        Origin: ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers":
          "authorization,apikey,content-type,idempotency-key,x-idempotency-key",
      },
    });
    await response.body?.cancel();
    assert(response.ok);
    assertEquals(response.headers.get("access-control-allow-origin"), "*");
    const allowed = names(response, "access-control-allow-headers");
    for (
      const name of [
        "authorization",
        "apikey",
        "content-type",
        "idempotency-key",
        "x-idempotency-key",
      ]
    ) {
      assert(allowed.includes(name), `${name} is not allowed`);
    }
  });
}

Deno.test("first answer, replay and refusal can be read from another origin", async () => {
  const headers = { Origin: ORIGIN };
  const request = { key: unique("key"), headers };
  const answers = [
    await probe(stack(), ada, request),
    await probe(stack(), ada, request),
    await probe(stack(), ada, { ...request, body: { status: 201 } }),
    await probe(stack(), ada, { ...request, key: "?" }),
  ];
  assertEquals(answers.map(({ status }) => status), [200, 200, 422, 400]);
  for (const response of answers) {
    await response.body?.cancel();
    assertEquals(response.headers.get("access-control-allow-origin"), "*");
    const exposed = names(response, "access-control-expose-headers");
    for (
      const name of [
        "x-idempotency-replay",
        "x-idempotency-stored",
        "retry-after",
      ]
    ) {
      assert(exposed.includes(name), `${name} is not exposed`);
    }
  }
});
