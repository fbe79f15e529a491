import { assertEquals } from "@std/assert";
import {
  asksForEnvelope,
  toEnvelope,
  withEnvelope,
} from "../../../../functions/_kit/envelope.ts";
import { withLanguage } from "../../../../functions/_kit/language.ts";
import {
  memoryLedger,
  problemResponse,
  refusalResponse,
  RequestInProgressError,
  withIdempotency,
} from "../../../../shared/idempotency.ts";

const asking = (accept?: string) =>
  new Request("http://x/events", {
    method: "POST",
    ...(accept === undefined ? {} : { headers: { accept } }),
  });

Deno.test("the envelope of a problem has its code and detail, and keeps status and headers", async () => {
  const error = new RequestInProgressError("order-17", 2);
  const problem = refusalResponse(error, asking());
  const envelope = await toEnvelope(problem);
  assertEquals(envelope.status, 409);
  assertEquals(envelope.headers.get("content-type"), "application/json");
  assertEquals(envelope.headers.get("retry-after"), "2");
  assertEquals(await envelope.json(), {
    success: false,
    error: { code: "REQUEST_IN_PROGRESS", message: error.message },
  });
});

Deno.test("two duplicates of a plain operation give 201 and 409, and the 409 has its envelope", async () => {
  const context = {
    store: memoryLedger(),
    userId: "u1",
    route: "events",
    key: "event-17",
  };
  const { promise: other, resolve } = Promise.withResolvers<void>();
  const create = () =>
    withIdempotency(context, async () => {
      await other;
      return { status: 201, body: { id: 1 } };
    });
  const answer = async () => {
    const { status, body, headers } = await create();
    if (status === 409) resolve();
    return await toEnvelope(Response.json(body, { status, headers }));
  };
  const [created, refused] = (await Promise.all([answer(), answer()]))
    .sort((a, b) => a.status - b.status);
  assertEquals([created!.status, refused!.status], [201, 409]);
  assertEquals(await created!.json(), { success: true, data: { id: 1 } });
  const { success, error } = await refused!.json();
  assertEquals([success, Object.keys(error)], [false, ["code", "message"]]);
  assertEquals(error.code, "REQUEST_IN_PROGRESS");
});

Deno.test("the envelope of a problem keeps the members that it adds to the standard's", async () => {
  const envelope = await toEnvelope(problemResponse({
    status: 409,
    code: "COSTS",
    title: "Costs",
    detail: "It costs 5",
    instance: "/events",
    extensions: { cost: 5 },
  }));
  assertEquals((await envelope.json()).error, {
    code: "COSTS",
    message: "It costs 5",
    cost: 5,
  });
});

Deno.test("the envelope of a success has its body as data", async () => {
  const created = Response.json({ event: { id: 1 } }, {
    status: 201,
    headers: { "X-Idempotency-Stored": "true" },
  });
  const envelope = await toEnvelope(created);
  assertEquals(envelope.status, 201);
  assertEquals(envelope.headers.get("x-idempotency-stored"), "true");
  assertEquals(await envelope.json(), {
    success: true,
    data: { event: { id: 1 } },
  });
});

Deno.test("the envelope of what fails the authentication has its code and message", async () => {
  const refused = Response.json({ message: "Invalid token", code: "AUTH" }, {
    status: 401,
  });
  assertEquals(await (await toEnvelope(refused)).json(), {
    success: false,
    error: { code: "AUTH", message: "Invalid token" },
  });
});

Deno.test("an answer without JSON, or an error that has no code, stays as it is", async () => {
  for (
    const response of [
      new Response("down", { status: 502 }),
      new Response(null, { status: 204 }),
      Response.json({ type: "about:blank", status: 404 }, {
        status: 404,
        headers: { "Content-Type": "application/problem+json" },
      }),
    ]
  ) {
    const body = await response.clone().text();
    const same = await toEnvelope(response);
    assertEquals([same, await same.text()], [response, body]);
  }
});

const ACCEPTS: [accept: string | undefined, envelope: boolean][] = [
  [undefined, false],
  ["", false],
  ["*/*", false],
  ["text/html", false],
  ["application/json", true],
  ["Application/JSON; charset=utf-8", true],
  ["application/json, text/plain", true],
  ["application/json, text/plain, */*", false],
  ["application/*, application/json", false],
  ["application/problem+json, application/json", false],
];

for (const [accept, envelope] of ACCEPTS) {
  Deno.test(`Accept: ${accept ?? "(none)"} asks for ${envelope ? "an envelope" : "a problem document"}`, async () => {
    assertEquals(asksForEnvelope(asking(accept)), envelope);
    const handler = withEnvelope((req) =>
      Promise.resolve(
        refusalResponse(new RequestInProgressError("order-17", 2), req),
      )
    );
    const answer = await handler(asking(accept));
    assertEquals(answer.headers.get("vary"), "Accept");
    const body = await answer.json();
    assertEquals("success" in body, envelope);
    assertEquals("type" in body, !envelope);
  });
}

Deno.test("an answer without a body, as HEAD has it, stays as it is", async () => {
  const headers = { "content-type": "application/problem+json" };
  const answer = withEnvelope(withLanguage(
    { ru: {} },
    () => Promise.resolve(new Response(null, { status: 405, headers })),
  ));
  const { status, body } = await answer(asking("application/json"));
  assertEquals([status, body], [405, null]);
});
