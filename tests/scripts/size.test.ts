import { assert } from "@std/assert";
import { coreSize, MOST_GZIPPED_BYTES } from "../../scripts/size.ts";

Deno.test("the core adds at most 60 kB gzipped to a function, and imports nothing that only some runtimes have", async () => {
  const { gzipped } = await coreSize();
  assert(gzipped <= MOST_GZIPPED_BYTES, `it adds ${gzipped} bytes`);
});
