import { z } from "zod";
import type { RunQuery } from "../../../scripts/stack/database.ts";
import type { RawAnswer, RawRequest } from "./wire.ts";

/** What is promised of every answer; `null` where it holds. */
export interface Verdict {
  readonly answered: string | null;
  readonly unbroken: string | null;
  readonly discreet: string | null;
  readonly told: string | null;
}

const Problem = z.looseObject({
  type: z.string(),
  title: z.string().min(1),
  status: z.int(),
  detail: z.string().min(1),
  code: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
});

const Envelope = z.strictObject({
  success: z.literal(false),
  error: z.looseObject({ code: z.string(), message: z.string().min(1) }),
});

// What `@supabase/server` and the gateway say to who is not let in.
const NotLetIn = z.looseObject({
  message: z.string().min(1),
  code: z.union([z.string(), z.literal(401)]),
});

// Files and stacks of this program, and what Postgres and PostgREST say.
const INTERNALS = [
  /\n {4}at /,
  /\bfile:\/\//,
  /\bnode_modules\b|\bnpm:|\bext:|\bnode:/,
  /\/(?:tmp|home|root|usr)\//,
  /\.[tj]s:\d/,
  /\b(?:Type|Range|Syntax|Reference|URI)Error\b/,
  /\b(?:relation|column|constraint|function|operator) "/,
  /syntax error at|violates|duplicate key value|out of range for type/,
  /\bPGRST|\bSQLSTATE|\bpg_|\bpublic\./,
  /Cannot (?:read|set) propert|is not a function|is not iterable/,
];

/** The names of tables and functions that no answer is to have in it. */
export async function namesInside(sql: RunQuery): Promise<RegExp> {
  const rows = await sql<{ name: string }>(`
    select relname::text as name from pg_class
    where relnamespace in ('public'::regnamespace, 'idempotency'::regnamespace)
    union
    select proname::text from pg_proc
    where pronamespace in ('public'::regnamespace, 'idempotency'::regnamespace)
  `);
  // A word that people use may be a table too.
  const names = rows.map(({ name }) => name).filter((name) =>
    name.includes("_")
  );
  // The address of a table in the Data API is told to who may delete there.
  return new RegExp(`(?<!/rest/v1/)\\b(?:${names.join("|")})\\b`);
}

/** Judges one answer. */
export function judge(
  request: RawRequest,
  answer: RawAnswer,
  names: RegExp,
): Verdict {
  const nothing = {
    answered: null,
    unbroken: null,
    discreet: null,
    told: null,
  };
  if (answer.kind === "hung") return { ...nothing, answered: "no answer" };
  if (answer.kind === "closed") {
    return isWhole(request) ? { ...nothing, answered: "closed" } : nothing;
  }
  const { status, headers, body } = answer;
  const isRefusal = status >= 400;
  const inside = isRefusal
    ? [...INTERNALS, names].find((pattern) =>
      pattern.test(body) && !isSaid(request, pattern)
    )
    : undefined;
  return {
    ...nothing,
    unbroken: status < 500 ? null : `${status}`,
    discreet: inside === undefined ? null : `${inside}`,
    told: isRefusal ? toldBy(request, status, headers, body) : null,
  };
}

/** Whether a server has no reason to end the connection without an answer. */
function isWhole({ body, framing }: RawRequest): boolean {
  const isShort = (body?.byteLength ?? 0) < 60_000;
  return isShort && ["length", "chunked", "slow"].includes(framing);
}

/** Whether the sender said it first. */
function isSaid({ target, headers, body }: RawRequest, pattern: RegExp) {
  const said = [
    target,
    headers.join(),
    new TextDecoder().decode(body ?? undefined),
  ];
  return said.some((text) => pattern.test(text));
}

function toldBy(
  { method }: RawRequest,
  status: number,
  headers: Headers,
  body: string,
): string | null {
  if (method === "HEAD") return null;
  const type = headers.get("content-type");
  // The HTTP server itself, of what is no HTTP.
  if (type === null && body === "" && [400, 413, 414, 431].includes(status)) {
    return null;
  }
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return `${status} ${type} is no JSON`;
  }
  if (type === "application/problem+json") {
    const parsed = Problem.safeParse(value);
    if (!parsed.success) return z.prettifyError(parsed.error);
    return parsed.data.status === status ? null : "tells another status";
  }
  if (Envelope.safeParse(value).success) return null;
  if (status === 401 && NotLetIn.safeParse(value).success) return null;
  return `${status} ${type}`;
}
