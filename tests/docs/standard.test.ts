import { assertEquals } from "@std/assert";
import {
  type IdempotencyCode,
  IdempotencyError,
} from "../../shared/idempotency.ts";

async function rowsOf(page: string): Promise<string[]> {
  const text = await Deno.readTextFile(
    new URL(`../../docs/${page}`, import.meta.url),
  );
  return text.split("\n").filter((line) => /^ *\|.*`/.test(line));
}

Deno.test("the standard has clients send again what may pass with time, and nothing else", async () => {
  const codes = (await rowsOf("reference.md")).flatMap((row) =>
    /`([A-Z]+_[A-Z_]+)` +\|$/.exec(row)?.[1] ?? []
  ).filter((code) => code !== "OPERATION_FAILED") as IdempotencyCode[];
  const rows = await rowsOf("standard.md");
  const told = codes.map((code) => {
    // What begins like the one before it is told by its end: `…_INVALID`.
    const row = rows.find((row) =>
      row.includes(`\`${code}\``) ||
      row.includes(`\`…${/_[A-Z]+$/.exec(code)}\``)
    );
    return [code, row && /waits|the same, an hour/.test(row)];
  });
  assertEquals(
    told,
    codes.map((code) => [code, new IdempotencyError(code, "").retryable]),
  );
});
