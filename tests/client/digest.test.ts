import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import fc from "fast-check";
import { newKey } from "../../shared/client/keys.ts";
import { digest } from "../../shared/client/outgoing.ts";
import { isValidIdempotencyKey } from "../../shared/idempotency.ts";

async function without<T>(name: "crypto", action: () => Promise<T>) {
  const own = Object.getOwnPropertyDescriptor(globalThis, name)!;
  Object.defineProperty(globalThis, name, {
    value: undefined,
    configurable: true,
  });
  try {
    return await action();
  } finally {
    Object.defineProperty(globalThis, name, own);
  }
}

Deno.test("a digest is SHA-256", async () => {
  const bytes = (await digest("abc")).split(",").map(Number);
  assertEquals(
    bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(""),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
});

Deno.test("without cryptography both halves of a digest tell texts apart", async () => {
  await without("crypto", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string(), async (one, other) => {
        fc.pre(one !== other);
        const [first, second] = [await digest(one), await digest(other)];
        assertMatch(first, /^-?\d+\.-?\d+$/);
        for (const half of [0, 1]) {
          assertNotEquals(first.split(".")[half], second.split(".")[half]);
        }
        assertEquals(await digest(one), first);
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

Deno.test("without cryptography keys are still valid and differ", async () => {
  await without("crypto", () => {
    const keys = Array.from({ length: 1000 }, newKey);
    assertEquals(new Set(keys).size, 1000);
    assertEquals(keys.filter((key) => !isValidIdempotencyKey(key)), []);
    return Promise.resolve();
  });
});
