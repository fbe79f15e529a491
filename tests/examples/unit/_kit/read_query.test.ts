import { assert, assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { readQuery } from "../../../../functions/_kit/read_request.ts";
import { Refusal } from "../../../../functions/_kit/refuse.ts";

const schema = z.strictObject({ limit: z.coerce.number().int().default(50) });
const get = (query: string) => new Request(`http://x/events${query}`);

Deno.test("readQuery() gives what the query says, with defaults", () => {
  assertEquals(readQuery(get("?limit=2"), schema), { limit: 2 });
  assertEquals(readQuery(get(""), schema), { limit: 50 });
});

Deno.test("readQuery() refuses what is unknown, not valid, or there twice, and says which", () => {
  for (
    const [query, named] of [
      ["?limits=2", "limits"],
      ["?limit=x", "limit: "],
      ["?limit=1&limit=2", "limit is there twice"],
    ] as const
  ) {
    const { problem } = assertThrows(
      () => readQuery(get(query), schema),
      Refusal,
    );
    assertEquals([problem.status, problem.code], [400, "REQUEST_INVALID"]);
    assert(problem.detail.includes(named), problem.detail);
  }
});

Deno.test("readQuery() gives little of a long query back", () => {
  const name = "x".repeat(10_000);
  for (const query of [`?${name}=1`, `?${name}=1&${name}=2`]) {
    const { problem } = assertThrows(
      () => readQuery(get(query), schema),
      Refusal,
    );
    assert(problem.detail.length < 300);
  }
});
