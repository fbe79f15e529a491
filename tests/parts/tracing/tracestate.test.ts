import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseTracestate } from "../../../shared/tracing/trace_context.ts";

Deno.test("a tracestate is passed on as it came, but for spaces and empty members", () => {
  assertEquals(
    parseTracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
  );
  assertEquals(parseTracestate("a=1 ,\t b@c=x y,,"), "a=1,b@c=x y");
});

Deno.test("a tracestate that is malformed is not passed on", () => {
  const many = Array.from({ length: 33 }, (_, n) => `k${n}=v`).join(",");
  for (
    const header of [
      null,
      "",
      ",",
      "a",
      "a=",
      "A=1",
      "a=1,a=2",
      "a=b=c",
      "a=\u00e9",
      `${"k".repeat(257)}=1`,
      `a=${"v".repeat(257)}`,
      many,
    ]
  ) {
    assertEquals(parseTracestate(header), null, `took ${header}`);
  }
});

Deno.test("a long tracestate loses its oldest members and nothing else", () => {
  const member = fc.tuple(
    fc.stringMatching(/^[a-z][a-z0-9]{0,20}$/),
    fc.stringMatching(/^[!-+\x2d-<>-~]{1,60}$/),
  );
  fc.assert(
    fc.property(
      fc.uniqueArray(member, {
        selector: ([key]) => key,
        minLength: 1,
        maxLength: 32,
      }),
      (members) => {
        const sent = members.map((pair) => pair.join("=")).join(",");
        const passed = parseTracestate(sent)!;
        assert(passed.length <= 512);
        assert(sent === passed || sent.startsWith(`${passed},`));
        const next = sent.slice(passed.length + 1).split(",")[0]!;
        assert(sent === passed || passed.length + 1 + next.length > 512);
      },
    ),
  );
});
