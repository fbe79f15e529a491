import { z } from "./deps.ts";

// The table takes 16 KiB of jsonb, in which "1," has 12 bytes, and an operator's
// note of 2,000 characters has to fit as well.
const MAX_METADATA_BYTES = 2_048;

const schema = z.record(z.string(), z.json());

/**
 * What a route wants kept with a key, as the ledger can keep it.
 *
 * @throws {TypeError} When it is no JSON object, or too long. Nothing has run.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { checkedMetadata } from "./metadata.ts";
 *
 * assertEquals(checkedMetadata({ traceId: "4bf9" }), { traceId: "4bf9" });
 * assertThrows(() => checkedMetadata({ at: 10n }), TypeError);
 * ```
 */
export function checkedMetadata(metadata: unknown): Record<string, unknown> {
  const parsed = schema.safeParse(metadata);
  if (!parsed.success) {
    throw new TypeError(
      `Cannot keep the metadata of this route: ${
        z.prettifyError(parsed.error)
      }`,
    );
  }
  const { length } = new TextEncoder().encode(JSON.stringify(parsed.data));
  if (length <= MAX_METADATA_BYTES) return parsed.data;
  throw new TypeError(
    `Cannot keep the metadata of this route: it has ${length} bytes as JSON, more than ${MAX_METADATA_BYTES}`,
  );
}
