import { z } from "zod";
import { mediaType } from "./media_type.ts";
import { readBytes } from "./read_bytes.ts";
import { Refusal } from "./refusal.ts";

// The longest request of any route, 100 ids, takes 4 KB.
const MAX_JSON_BYTES = 64 * 1024;

// Enough to mend a request by; an array of a thousand wrong items has more.
const MAX_ISSUES = 5;

/**
 * Reads a request's body as JSON of a given shape.
 *
 * @throws {Refusal} 400 when it is malformed or has another shape, 413 when it
 * is longer than 64 KiB, 415 when it is not declared as JSON.
 */
export async function readJson<T>(
  req: Request,
  schema: z.ZodType<T>,
): Promise<T> {
  const type = mediaType(req);
  if (type !== "application/json") {
    throw new Refusal({
      status: 415,
      code: "UNSUPPORTED_CONTENT_TYPE",
      title: "Unsupported content type",
      detail:
        `The request has the content type "${type}": send application/json`,
    });
  }
  const value = parse(await readBytes(req, MAX_JSON_BYTES));
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Refusal({
    status: 400,
    code: "REQUEST_INVALID",
    title: "Invalid request",
    detail: `The request body is not as expected: ${describe(parsed.error)}`,
  });
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Refusal({
      status: 400,
      code: "JSON_MALFORMED",
      title: "Malformed JSON",
      detail: bytes.length === 0
        ? "The request body is empty: send a JSON object"
        : "The request body is not JSON in UTF-8: check quotes, commas and brackets",
    }, { cause });
  }
}

function describe(error: z.ZodError): string {
  return error.issues
    .slice(0, MAX_ISSUES)
    .map(({ path, message }) => `${path.join(".") || "body"}: ${message}`)
    .join("; ");
}
