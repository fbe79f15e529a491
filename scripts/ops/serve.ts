import { randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { PAGE, ROOT } from "../cli/release.ts";
import { readKey, recentKeys, resolve } from "../keys/operator.ts";
import { explain, type Project } from "../project.ts";
import { readStatistics } from "../stats/statistics.ts";

/** What {@link createOps} serves, and to whom. */
export interface OpsOptions {
  readonly project: Project;
  /** What the page proves itself with; see {@link newToken}. */
  readonly token: string;
}

/** A token that nobody guesses. */
export function newToken(): string {
  return randomBytes(32).toString("base64url");
}

/**
 * Answers one request to the operators' page.
 *
 * @param path What the request is for, below the folder that the page is in.
 */
export type ServeOps = (request: Request, path: string) => Promise<Response>;

const PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** Media types of the files that pages are made of, by extension. */
const PAGE_TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  md: "text/markdown; charset=utf-8",
};

// No slash, no dot but one: nothing outside of the folder has such a name.
const FILE = /^\w+\.(css|js)$/;
// An answer that an operator records has at most 6 MiB.
const MOST_BYTES = 8 * 1024 * 1024;
const LOOPBACK = ["127.0.0.1", "[::1]", "localhost"];

// A database holds neither U+0000 nor half a surrogate pair.
const Text = z.string().regex(/^[^\0\ud800-\udfff]*$/u);
const Hours = z.int().min(1).max(192);
const Moment = z.iso.datetime().transform((text) => new Date(text));

/** What the page may ask for, with what it says about it. */
const CALLS = {
  statistics: question(
    z.object({ hours: Hours, scope: Text.nullable() }),
    async (project, { hours, scope }) => ({
      project: project.name,
      ...await readStatistics(project, {
        // A look; the next one goes on counting.
        seconds: 1,
        hours,
        hoursOfChart: hours,
        scope,
      }),
    }),
  ),
  recent: question(
    z.object({
      scope: Text.optional(),
      owner: Text.optional(),
      key: Text.optional(),
      status: z.enum(["processing", "stuck", "completed", "failed"]).optional(),
      from: Moment.optional(),
      until: Moment.optional(),
      below: z.int().optional(),
      limit: z.int().min(1).max(1000),
    }),
    recentKeys,
  ),
  key: question(
    z.object({ owner: Text, scope: Text, key: Text }),
    readKey,
  ),
  resolve: question(
    z.object({
      userId: Text.nullable(),
      scope: Text,
      key: Text,
      as: z.enum(["completed", "failed"]),
      status: z.int().min(200).max(599).nullable(),
      body: Text.nullable(),
      headers: z.record(Text, Text).nullable(),
      note: Text.nullable(),
    }),
    resolve,
  ),
};

/**
 * Serves the operators' page of a project to whoever started the server. The
 * server alone holds the project's key. What the page asks for needs a token,
 * which no other page on this machine knows, and is answered to no other origin
 * and under no other name than loopback's, so that a site which has its name
 * point here learns and changes nothing.
 */
export function createOps({ project, token }: OpsOptions): ServeOps {
  return async (request, path) => {
    if (!isLoopback(request)) {
      return refusal(403, "This page is served to this machine alone.");
    }
    return path.startsWith("api/")
      ? await answer(request, path.slice("api/".length), { project, token })
      : await file(request, path);
  };
}

/** Whether a request names this machine, and not a site that points to it. */
export function isLoopback({ url }: Request): boolean {
  return LOOPBACK.includes(new URL(url).hostname);
}

async function file(request: Request, path: string): Promise<Response> {
  const name = path === "" ? "ops.html" : path;
  if (path !== "" && !FILE.test(path)) return refusal(404, "Not found.");
  if (!["GET", "HEAD"].includes(request.method)) {
    return refusal(405, "A page is read, not written.");
  }
  try {
    const text = await readFile(join(ROOT, PAGE, name), "utf8");
    return pageResponse(request, name, text);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
    return refusal(404, "Not found.");
  }
}

/**
 * A page, or a part of one, as a person is shown it.
 *
 * @param name Its file, whose extension says what it is.
 */
export function pageResponse(
  { method }: Request,
  name: string,
  text: string,
): Response {
  return new Response(method === "HEAD" ? null : text, {
    headers: {
      ...PAGE_HEADERS,
      "content-type": PAGE_TYPES[name.split(".")[1]!]!,
      "cache-control": "no-cache",
    },
  });
}

async function answer(
  request: Request,
  name: string,
  { project, token }: OpsOptions,
): Promise<Response> {
  const { headers } = request;
  const origin = headers.get("origin");
  if (
    (origin !== null && origin !== new URL(request.url).origin) ||
    !["same-origin", null].includes(headers.get("sec-fetch-site"))
  ) return refusal(403, "Another site's page asks.");
  if (!isSame(headers.get("x-ops-token") ?? "", token)) {
    return refusal(
      401,
      "The link is not of this server, or of an earlier one.",
    );
  }
  if (!Object.hasOwn(CALLS, name) || request.method !== "POST") {
    return refusal(404, `The page does not ask ${request.method} ${name}.`);
  }
  try {
    const text = await readText(request);
    if (text === null) return refusal(413, "The request is too large.");
    const reply = await CALLS[name as keyof typeof CALLS](
      project,
      JSON.parse(text),
    );
    return json(200, reply);
  } catch (error) {
    if (error instanceof SyntaxError) return refusal(400, error.message);
    if (error instanceof BadQuestion) return refusal(400, error.message);
    return refusal(502, explain(error));
  }
}

class BadQuestion extends Error {}

function question<Schema extends z.ZodType>(
  schema: Schema,
  ask: (project: Project, input: z.output<Schema>) => Promise<unknown>,
) {
  return async (project: Project, input: unknown): Promise<unknown> => {
    const parsed = schema.safeParse(input);
    if (!parsed.success) throw new BadQuestion(z.prettifyError(parsed.error));
    return await ask(project, parsed.data);
  };
}

/** The body; `null` where it is too large. */
async function readText(request: Request): Promise<string | null> {
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > MOST_BYTES) return null;
      text += decoder.decode(chunk, { stream: true });
    }
  } catch (cause) {
    throw new BadQuestion("The request broke off before its end.", { cause });
  }
  return text + decoder.decode();
}

function isSame(given: string, token: string): boolean {
  const [a, b] = [given, token].map((text) => new TextEncoder().encode(text));
  return a!.length === b!.length && timingSafeEqual(a!, b!);
}

// What each refusal is called, whatever its reason.
const REFUSALS = {
  400: ["REQUEST_INVALID", "Invalid request"],
  401: ["TOKEN_INVALID", "Not the link of this server"],
  403: ["ORIGIN_NOT_ALLOWED", "Not from here"],
  404: ["NOT_FOUND", "Not found"],
  405: ["METHOD_NOT_ALLOWED", "Method not allowed"],
  413: ["REQUEST_TOO_LARGE", "Request too large"],
  502: ["PROJECT_UNAVAILABLE", "The project did not answer"],
} as const;

/** A problem document (RFC 9457). */
function refusal(status: keyof typeof REFUSALS, detail: string): Response {
  const [code, title] = REFUSALS[status];
  const body = { type: "about:blank", title, status, detail, code };
  return json(status, body, "application/problem+json");
}

function json(
  status: number,
  body: unknown,
  type = PAGE_TYPES["json"]!,
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...PAGE_HEADERS,
      "content-type": type,
      "cache-control": "no-store",
    },
  });
}
