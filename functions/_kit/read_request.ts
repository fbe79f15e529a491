import { z } from "zod";
import { Refusal } from "./refuse.ts";

/**
 * The media type of a message's body, without parameters and in lower case;
 * empty when it declares none.
 */
export function mediaType(message: Pick<Request, "headers">): string {
  const declared = message.headers.get("content-type") ?? "";
  return declared.split(";")[0]!.trim().toLowerCase();
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/**
 * Admits the methods that a route takes, and with GET also HEAD: the route does
 * the same, and the server leaves the body out.
 *
 * @throws {Refusal} 405 with `Allow`.
 */
export function requireMethod(
  req: Request,
  ...taken: readonly Method[]
): void {
  const methods = taken.flatMap((method) =>
    method === "GET" ? ["GET", "HEAD"] : [method]
  );
  if (methods.includes(req.method)) return;
  throw new Refusal({
    status: 405,
    code: "METHOD_NOT_ALLOWED",
    title: "Method not allowed",
    detail: `This route does not take ${req.method}: send ${
      methods.join(" or ")
    }`,
    headers: { Allow: `${methods.join(", ")}, OPTIONS` },
  });
}

/**
 * Reads the body of a request, but no more than `maxBytes` of it.
 *
 * @throws {Refusal} 413 when it is longer; at once where the request says so,
 * else at the byte too many. 400 when the client is cut off before its end.
 */
export async function readBytes(
  req: Request,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const declared = Number(req.headers.get("content-length") ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  const reading = req.bodyUsed ? readAgain(req) : readStream(req, maxBytes);
  const bytes = await reading.catch((cause) => {
    throw incomplete(cause);
  });
  if (bytes.length > maxBytes) throw tooLarge(maxBytes);
  return bytes;
}

// Below a middleware that read the body for its fingerprint, a request hands
// out what was read, but its stream is gone.
async function readAgain(req: Request): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await req.arrayBuffer());
}

async function readStream(
  req: Request,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  // Leaving the loop cancels the stream.
  for await (const part of req.body ?? []) {
    parts.push(part);
    length += part.length;
    if (length > maxBytes) break;
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function incomplete(cause: unknown): Refusal {
  return new Refusal({
    status: 400,
    code: "REQUEST_BODY_INCOMPLETE",
    title: "Request body incomplete",
    detail:
      "The request body broke off before its end: send the same request again",
    retryable: true,
  }, { cause });
}

function tooLarge(maxBytes: number): Refusal {
  return new Refusal({
    status: 413,
    code: "REQUEST_TOO_LARGE",
    title: "Request too large",
    detail:
      `The request body is larger than ${maxBytes} bytes, the most that this route takes`,
  });
}

// The longest request of any route, a quotation of 100 lines, takes 130 KB from
// a client that escapes each character.
const MAX_JSON_BYTES = 256 * 1024;

// Enough to mend a request by; an array of a thousand wrong items has more, and
// what goes back of a query is the sender's own.
const MAX_ISSUES = 5;
const MAX_CHARACTERS = 200;

/**
 * Reads a request's body as JSON of a given shape.
 *
 * @throws {Refusal} 400 when it is malformed or has another shape, 413 when it
 * is longer than 256 KiB, 415 when it is not declared as JSON.
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
    extensions: { fields: fieldsOf(parsed.error) },
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

/** What is wrong, for a program that points at it. */
function fieldsOf(error: z.ZodError): string[] {
  const fields = error.issues.map(({ path }) => shown(path.join(".")));
  return [...new Set(fields)].slice(0, MAX_ISSUES);
}

/**
 * Reads a request's query as parameters of a given shape.
 *
 * @throws {Refusal} 400 when it has another shape, or one parameter twice.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { z } from "zod";
 * import { readQuery } from "./read_request.ts";
 *
 * const Page = z.strictObject({ limit: z.coerce.number().default(50) });
 * const req = new Request("http://x/events?limit=20");
 * assertEquals(readQuery(req, Page), { limit: 20 });
 * ```
 */
export function readQuery<T>(req: Request, schema: z.ZodType<T>): T {
  const { searchParams } = new URL(req.url);
  // Says where to run, not what: supabase-js sends it with `region`.
  searchParams.delete("forceFunctionRegion");
  const names = [...searchParams.keys()];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw invalidQuery(`${shown(twice)} is there twice: send it once`, [
      shown(twice),
    ]);
  }
  const parsed = schema.safeParse(Object.fromEntries(searchParams));
  if (parsed.success) return parsed.data;
  throw invalidQuery(
    parsed.error.issues
      .slice(0, MAX_ISSUES)
      .map(({ path, message }) => shown([...path, message].join(": ")))
      .join("; "),
    fieldsOf(parsed.error),
  );
}

function shown(text: string): string {
  return text.slice(0, MAX_CHARACTERS);
}

function invalidQuery(detail: string, fields: string[]): Refusal {
  return new Refusal({
    status: 400,
    code: "REQUEST_INVALID",
    title: "Invalid request",
    detail: `The query is not as expected: ${detail}`,
    extensions: { fields },
  });
}

/**
 * A schema for a moment with its offset, as it is written: the years and offsets
 * that Postgres takes, which are fewer than ISO 8601 has.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { storableMoment } from "./read_request.ts";
 *
 * assert(storableMoment.safeParse("2026-12-24T18:00:00.123456+01:00").success);
 * assert(!storableMoment.safeParse("0000-12-24T18:00:00Z").success);
 * ```
 */
export const storableMoment: z.ZodType<string> = z.iso
  .datetime({ offset: true }).max(40)
  .refine((text) => !/^0000|[+-](1[6-9]|2)\d*:\d\d$/.test(text), {
    error: "expected a year from 1 on, and an offset below 16 hours",
  });

/**
 * A schema for text that is going to be a column: trimmed, 1 to `maxLength`
 * UTF-16 code units, and free of what JSON can say and Postgres cannot store,
 * the character U+0000 and half surrogate pairs.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { storableText } from "./read_request.ts";
 *
 * const Title = storableText(200);
 * assert(Title.safeParse(" Summer party 🎉 ").success);
 * assert(!Title.safeParse("\0").success);
 * ```
 */
export function storableText(maxLength: number): z.ZodType<string> {
  return z.string().trim().min(1).max(maxLength).refine(
    (text) => text.isWellFormed() && !text.includes("\0"),
    { error: "contains U+0000 or half a surrogate pair" },
  );
}

/**
 * A schema for a day that is going to be a column, such as `2026-12-24`: from
 * 2000 on. The year 0, which ISO 8601 has, is none to Postgres.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { day } from "./read_request.ts";
 *
 * assert(day.safeParse("2026-12-24").success);
 * assert(!day.safeParse("0000-01-01").success);
 * ```
 */
export const day = z.iso.date().refine((date) => date >= "2000-01-01", {
  error: "expected a day from 2000 on",
});
