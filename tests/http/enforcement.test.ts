import { assertEquals } from "@std/assert";
import { setEnvironment } from "../../scripts/stack/environment.ts";
import type { IdempotencyEvent } from "../../shared/idempotency.ts";
import { call } from "../support/call.ts";
import { heard } from "../support/heard.ts";
import { effects, probe, unique } from "../support/probe.ts";
import { DRAFT, newQuotation } from "../support/quotations.ts";
import { serve } from "../support/serve.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

/** Runs under a value of `IDEMPOTENCY_ENFORCEMENT`; answers what was warned of. */
async function under(
  value: string | undefined,
  action: () => Promise<unknown>,
): Promise<string[]> {
  const restore = setEnvironment({ IDEMPOTENCY_ENFORCEMENT: value });
  try {
    return await heard("warn", action);
  } finally {
    restore();
  }
}

const create = (key?: string) =>
  call(stack(), ada, "quotations", {
    body: DRAFT,
    ...(key === undefined ? {} : { key }),
  });

Deno.test("out of the box quotations warn: a write without a key runs, is marked, and is a line in the log", async () => {
  const lines = await under(undefined, async () => {
    const { status, headers } = await create();
    assertEquals([status, headers.get("x-idempotency-missing")], [201, "true"]);
    assertEquals(headers.get("x-idempotency-stored"), null);
  });
  assertEquals(lines.map((line) => JSON.parse(line)), [{
    event: "IDEMPOTENCY_KEY_MISSING",
    scope: "quotations",
    enforcement: "warn",
  }]);
});

Deno.test("every write route goes from optional over warn to required by the environment alone", async () => {
  const { id } = await newQuotation(stack(), ada);
  const writes = [
    ["POST", "quotations", DRAFT],
    ["PUT", `quotations/${id}`, DRAFT],
    ["PATCH", `quotations/${id}`, { customerName: "Patch" }],
    ["POST", `quotations/${id}/restore`, undefined],
    ["POST", `quotations/${id}/status`, { status: "draft" }],
    ["PATCH", `quotations/${id}/status`, { status: "draft" }],
  ] as const;
  for (const [method, path, body] of writes) {
    const send = (key?: string) =>
      call(stack(), ada, path, {
        method,
        body,
        ...(key === undefined ? {} : { key }),
      });
    const seen: unknown[] = [];
    for (const mode of ["optional", "warn", "required"]) {
      const lines = await under(mode, async () => {
        const { status, body, headers } = await send();
        seen.push([
          status === 400 ? body.code : status < 300 || status === 409,
          headers.get("x-idempotency-missing"),
        ]);
      });
      assertEquals(lines.length, mode === "optional" ? 0 : 1);
      // With a key nothing changes, whatever is enforced.
      assertEquals(
        await under(mode, async () => {
          const { headers } = await send(unique("key"));
          assertEquals(headers.get("x-idempotency-missing"), null);
        }),
        [],
      );
    }
    assertEquals(
      seen,
      [[true, null], [true, "true"], ["IDEMPOTENCY_KEY_MISSING", null]],
      `${method} ${path}`,
    );
  }
});

Deno.test("what is required and missing has no effect", async () => {
  const customerName = unique("nobody");
  await under("required", async () => {
    const { status, body } = await call(stack(), ada, "quotations", {
      body: { ...DRAFT, customerName },
    });
    assertEquals(
      [status, body.code, body.retryable, body.instance],
      [400, "IDEMPOTENCY_KEY_MISSING", false, "/quotations"],
    );
  });
  const { data } = await ada.client.from("quotations").select("id")
    .eq("customer_name", customerName).throwOnError();
  assertEquals(data, []);
});

Deno.test("reads and DELETE are never asked for a key", async () => {
  const { id } = await newQuotation(stack(), ada);
  const lines = await under("required", async () => {
    for (
      const [method, path] of [
        ["GET", "quotations"],
        ["GET", `quotations/${id}`],
        ["DELETE", `quotations/${id}`],
      ] as const
    ) {
      const { status } = await call(stack(), ada, path, { method });
      assertEquals(status, 200, `${method} ${path}`);
    }
  });
  assertEquals(lines, []);
});

Deno.test("one scope is overridden without the others, and those below it along with it", async () => {
  const { id } = await newQuotation(stack(), ada);
  const value =
    "quotations=required, quotations/:id/restore=optional, probe=warn";
  await under(value, async () => {
    assertEquals((await create()).status, 400);
    const send = (path: string) =>
      call(stack(), ada, `quotations/${id}/${path}`, {
        body: { status: "sent" },
      });
    assertEquals((await send("status")).status, 400);
    const restored = await send("restore");
    assertEquals(restored.status, 200);
    assertEquals(restored.headers.get("x-idempotency-missing"), null);
    const probed = await probe(stack(), ada, {});
    await probed.body?.cancel();
    assertEquals(probed.headers.get("x-idempotency-missing"), "true");
  });
});

Deno.test("the environment also takes a requirement back that the code makes", async () => {
  const effect = unique("taken-back");
  const config = { enforcement: "required" } as const;
  const ask = async () => {
    const response = await probe(stack(), ada, { config, body: { effect } });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await ask(), 400);
  await under("*=optional", async () => assertEquals(await ask(), 200));
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("a value that cannot be read takes nothing down: the log says so, and the code's value holds", async () => {
  const errors = await heard(
    "error",
    () =>
      under("quotations=always", async () => {
        for (let n = 0; n < 2; n++) {
          const { status, headers } = await create();
          assertEquals(
            [status, headers.get("x-idempotency-missing")],
            [201, "true"],
          );
        }
      }),
  );
  assertEquals(errors.length, 1, errors.join("\n"));
});

Deno.test("onEvent is told of every write without a key, so that it can be counted before anybody is warned", async () => {
  const events: IdempotencyEvent[] = [];
  await using route = serve(
    stack(),
    { scope: "counted", onEvent: (event) => events.push(event) },
    () => new Response("done"),
  );
  const { "Idempotency-Key": _, ...headers } = {
    ...ada.headers,
    "Idempotency-Key": "",
  };
  for (const mode of ["optional", "warn", "required"]) {
    await under(mode, async () => {
      const response = await route.ask(ada, "none", { headers });
      await response.body?.cancel();
    });
  }
  assertEquals(
    events.map(({ outcome, scope, keyHash }) => [outcome, scope, keyHash]),
    Array(3).fill(["missing", "counted", ""]),
  );
});
