import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type Enforcement,
  enforcementOf,
  parseEnforcement,
} from "../../shared/idempotency/enforcement.ts";
import { memoryLedger } from "../../shared/idempotency/memory_ledger.ts";
import { setEnvironment } from "../../scripts/stack/environment.ts";
import { heard } from "../support/heard.ts";
import { route } from "../support/middleware.ts";

const modes = fc.constantFrom<Enforcement>("optional", "warn", "required");
const scopes = fc.stringMatching(/^[a-z]{1,6}(\/[:a-z]{1,6}){0,3}$/);

function under(text: string | undefined, scope: string): Enforcement {
  const restore = setEnvironment({ IDEMPOTENCY_ENFORCEMENT: text });
  try {
    return enforcementOf(scope, "optional");
  } finally {
    restore();
  }
}

Deno.test("what was put together is read back, however it is spaced", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(scopes, modes), { selector: ([scope]) => scope }),
      fc.constantFrom("", " ", "\n  "),
      (entries, space) => {
        const text = entries
          .map(([scope, mode]) => `${space}${scope}${space}=${space}${mode}`)
          .join(`${space},`);
        assertEquals(parseEnforcement(text), new Map(entries));
      },
    ),
  );
});

Deno.test("a mode alone is for every scope", () => {
  assertEquals(under("warn", "orders"), "warn");
  assertEquals(under(" required ", "orders/:id"), "required");
});

Deno.test("of several that fit the most specific holds, in whatever order", () => {
  const entries = ["*=warn", "pos=required", "pos/sales=optional"];
  for (const text of [entries.join(","), entries.toReversed().join(",")]) {
    assertEquals(under(text, "orders"), "warn");
    assertEquals(under(text, "pos"), "required");
    assertEquals(under(text, "pos/transfers/:id/send"), "required");
    assertEquals(under(text, "pos/sales"), "optional");
    assertEquals(under(text, "pos/sales/:id/refund"), "optional");
    // A scope that only begins alike is another one.
    assertEquals(under(text, "position"), "warn");
  }
});

Deno.test("without the variable, or where it names other scopes, the code's value holds", () => {
  for (const text of [undefined, "", "  ", "events=required"]) {
    assertEquals(under(text, "orders"), "optional");
  }
});

Deno.test("what is malformed is refused as a whole, with the part that is wrong", () => {
  for (
    const [text, part] of [
      ["always", '"always"'],
      ["Required", '"Required"'],
      ["orders=", '"orders="'],
      ["=warn", '"=warn"'],
      ["orders:warn", '"orders:warn"'],
      ["warn,", '""'],
      ["orders=warn;events=warn", '"orders=warn;events=warn"'],
      ["orders=warn,orders=required", '"orders" twice'],
      ["warn,*=required", '"*" twice'],
      ["toString", '"toString"'],
    ] as const
  ) {
    assertThrows(() => parseEnforcement(text), TypeError, part);
  }
});

Deno.test("an onEvent that rejects is told to the log, whether there was a key or not", async () => {
  const onEvent = () => Promise.reject(new Error("no such table"));
  const handler = route(
    { store: memoryLedger(), onEvent },
    () => new Response("done"),
  );
  const lines = await heard("error", async () => {
    for (const request of [{}, { key: "order-17" }]) {
      assertEquals((await handler(request)).status, 200);
    }
    // The events come with the answers, the log after them.
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
  assertEquals(lines, Array(2).fill("onEvent threw: Error: no such table"));
});

Deno.test("a malformed value is told to the log once, and the code's value holds until it is mended", async () => {
  const lines = await heard("error", () => {
    for (let n = 0; n < 100; n++) {
      assertEquals(under("nonsense", "orders"), "optional");
    }
    assertEquals(under("orders=required", "orders"), "required");
  });
  assertEquals(lines, [
    'Cannot use IDEMPOTENCY_ENFORCEMENT: found "nonsense", expected optional, warn or required, or scope=mode with one of these, separated by commas; until then each route\'s own enforcement holds',
  ]);
});
