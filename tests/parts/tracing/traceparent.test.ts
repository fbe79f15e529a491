import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  formatTraceparent,
  parseTraceparent,
} from "../../../shared/tracing/trace_context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const VALID = `00-${TRACE}-${SPAN}-01`;

const hex = (digits: number) =>
  fc.string({
    unit: fc.constantFrom(..."0123456789abcdef"),
    minLength: digits,
    maxLength: digits,
  });
const id = (digits: number) => hex(digits).filter((text) => !/^0+$/.test(text));

Deno.test("a traceparent that was written is read back", () => {
  fc.assert(
    fc.property(id(32), id(16), fc.boolean(), (traceId, spanId, sampled) => {
      const traceparent = { traceId, spanId, sampled };
      assertEquals(
        parseTraceparent(formatTraceparent(traceparent)),
        traceparent,
      );
    }),
  );
});

Deno.test("of the flags only the first bit is understood", () => {
  fc.assert(
    fc.property(hex(2), (flags) => {
      const sampled = parseInt(flags, 16) % 2 === 1;
      assertEquals(
        parseTraceparent(`00-${TRACE}-${SPAN}-${flags}`)?.sampled,
        sampled,
      );
    }),
  );
});

Deno.test("a later version is read by the fields of this one, with or without more behind a dash", () => {
  fc.assert(
    fc.property(
      hex(2).filter((version) => version !== "00" && version !== "ff"),
      fc.option(
        fc.string({ maxLength: 20 }).filter((s) =>
          !/[\n\r\u2028\u2029]/.test(s)
        ),
      ),
      (version, rest) => {
        const header = `${version}-${TRACE}-${SPAN}-01` +
          (rest === null ? "" : `-${rest}`);
        assertEquals(parseTraceparent(header)?.traceId, TRACE);
      },
    ),
  );
  assertEquals(parseTraceparent(`01-${TRACE}-${SPAN}-01x`), null);
});

Deno.test("what is not exactly a traceparent is none", () => {
  for (
    const header of [
      null,
      "",
      VALID.toUpperCase(),
      `${VALID}-`,
      `${VALID}-00`,
      ` ${VALID}`,
      `${VALID}\n`,
      `${VALID}, ${VALID}`,
      `ff-${TRACE}-${SPAN}-01`,
      `0-${TRACE}-${SPAN}-01`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE}-${SPAN}-0g`,
      `00-${TRACE}-${SPAN}`,
      `00-${TRACE.slice(1)}-${SPAN}-01`,
      `00_${TRACE}_${SPAN}_01`,
    ]
  ) {
    assertEquals(parseTraceparent(header), null, `took ${header}`);
  }
});

Deno.test("one character more, less or other makes it another trace or none", () => {
  fc.assert(
    fc.property(
      fc.nat(VALID.length - 1),
      fc.string({ minLength: 0, maxLength: 2, unit: "binary-ascii" }),
      (at, put) => {
        const mutated = VALID.slice(0, at) + put + VALID.slice(at + 1);
        const read = parseTraceparent(mutated);
        if (read === null) return;
        // Whatever was read is well formed, and was there.
        assert(/^[0-9a-f]{32}$/.test(read.traceId));
        assert(mutated.includes(`-${read.traceId}-${read.spanId}-`));
      },
    ),
  );
});
