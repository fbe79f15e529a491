import { z } from "zod";
import { Refusal } from "./refusal.ts";

/**
 * Reads a request's query as parameters of a given shape.
 *
 * @throws {Refusal} 400 when it has another shape, or one parameter twice.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { z } from "zod";
 * import { readQuery } from "./read_query.ts";
 *
 * const Page = z.strictObject({ limit: z.coerce.number().default(50) });
 * const req = new Request("http://x/events?limit=20");
 * assertEquals(readQuery(req, Page), { limit: 20 });
 * ```
 */
export function readQuery<T>(req: Request, schema: z.ZodType<T>): T {
  const { searchParams } = new URL(req.url);
  const names = [...searchParams.keys()];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw invalid(`${shown(twice)} is there twice: send it once`);
  }
  const parsed = schema.safeParse(Object.fromEntries(searchParams));
  if (parsed.success) return parsed.data;
  throw invalid(
    parsed.error.issues
      .slice(0, MAX_ISSUES)
      .map(({ path, message }) => shown([...path, message].join(": ")))
      .join("; "),
  );
}

// Enough to mend a request by; what goes back is the sender's own, so bounded.
const MAX_ISSUES = 5;
const MAX_CHARACTERS = 200;

function shown(text: string): string {
  return text.slice(0, MAX_CHARACTERS);
}

function invalid(detail: string): Refusal {
  return new Refusal({
    status: 400,
    code: "REQUEST_INVALID",
    title: "Invalid request",
    detail: `The query is not as expected: ${detail}`,
  });
}
