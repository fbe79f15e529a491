import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import {
  createOps,
  isLoopback,
  newToken,
  pageResponse,
  type ServeOps,
} from "../ops/serve.ts";
import {
  getIdempotencyKey,
  isValidIdempotencyKey,
} from "../../shared/idempotency.ts";
import { projectOverApi } from "../project.ts";
import { logFailure, problem } from "./answers.ts";
import type { Keys } from "./keys.ts";
import type { FunctionSettings } from "./settings.ts";

/** Answers a request for a page or a part of one; `null` for any other. */
export type ServePage = (request: Request) => Promise<Response | null>;

/** What the page at `/` calls to show how it goes without idempotency. */
export const UNPROTECTED: FunctionSettings = {
  entrypoint: join(import.meta.dirname!, "unprotected.ts"),
  verifyJwt: true,
};

const Credits = z.object({ amount: z.int().min(1).max(100) });

const FOLDER = new URL("pages/", import.meta.url);
const SAMPLE = new URL("../demo/taking-effect-once.md", import.meta.url);
const OPENAPI = new URL("../../functions/crm/openapi.json", import.meta.url);

// What a person types.
const PAGES: Readonly<Record<string, string>> = {
  "/": "/try.html",
  "/events": "/events.html",
  "/quotations": "/quotations.html",
  "/till": "/till.html",
};

// Each lies in the folder under its path.
const FILES = [
  "/attempt.js",
  "/events.js",
  "/forms.css",
  "/money.js",
  "/network.js",
  "/quotations.css",
  "/quotations.js",
  "/till.js",
  "/till/receipt.js",
  "/till/shop.js",
  "/try.css",
  "/try.js",
  "/try/document.js",
  "/try/lanes.js",
  "/try/project.js",
  "/try/sides.js",
];

/** Serves the pages of the local stack; `/client.js` is made when asked for first. */
export function createPages(
  { publishableKey, secretKey }: Pick<Keys, "publishableKey" | "secretKey">,
  apiUrl: string,
): ServePage {
  const token = newToken();
  const project = projectOverApi(apiUrl, secretKey);
  const ops = createOps({ project, token });
  let client: Promise<string> | undefined;

  const read = async (path: string): Promise<string | null> => {
    if (path === "/client.js") return await (client ??= bundle());
    if (path === "/project.json") return JSON.stringify({ publishableKey });
    if (path === "/openapi.json") return await readFile(OPENAPI, "utf8");
    if (path === "/sample.md") return await readFile(SAMPLE, "utf8");
    return Object.hasOwn(PAGES, path) || FILES.includes(path)
      ? await readFile(new URL(fileOf(path).slice(1), FOLDER), "utf8")
      : null;
  };

  return async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/ops" || pathname.startsWith("/ops/")) {
      return await serveOps(ops, token, request);
    }
    if (pathname === "/credits" && request.method === "POST") {
      return await grantCredits(request, apiUrl, secretKey);
    }
    if (!["GET", "HEAD"].includes(request.method)) return null;
    const content = await read(pathname);
    if (content === null) return null;
    return pageResponse(request, fileOf(pathname), content);
  };
}

function fileOf(path: string): string {
  return PAGES[path] ?? path;
}

/**
 * Grants credits to whoever is signed in, once for each key: what a project does
 * in the webhook of its payment provider.
 */
async function grantCredits(
  request: Request,
  apiUrl: string,
  secretKey: string,
): Promise<Response> {
  const { headers } = request;
  const key = getIdempotencyKey(request);
  const said = Credits.safeParse(await request.json().catch(() => null));
  if (!isValidIdempotencyKey(key) || !said.success) {
    return problem(
      400,
      "REQUEST_INVALID",
      "Invalid request",
      "Send a key, and an amount of 1 to 100.",
    );
  }
  const signedIn = await fetch(`${apiUrl}/auth/v1/user`, {
    headers: {
      apikey: headers.get("apikey") ?? "",
      authorization: headers.get("authorization") ?? "",
    },
  });
  const user = await signedIn.json();
  if (!signedIn.ok) {
    return problem(
      signedIn.status,
      "NOT_SIGNED_IN",
      "Not signed in",
      "Sign in, and send the session's access token.",
    );
  }
  const entries = (query: Record<string, string>, init: RequestInit = {}) =>
    fetch(`${apiUrl}/rest/v1/credit_entries?${new URLSearchParams(query)}`, {
      ...init,
      headers: { apikey: secretKey, ...init.headers },
    });
  const granting = await entries(
    { on_conflict: "user_id,kind,request_id" },
    {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "prefer": "resolution=ignore-duplicates",
      },
      body: JSON.stringify({
        user_id: user.id,
        kind: "grant",
        amount: said.data.amount,
        reason: "given by the local stack",
        request_id: key,
      }),
    },
  );
  if (!granting.ok) {
    logFailure("credits were not granted", await granting.text());
    return problem(
      granting.status,
      "CREDITS_NOT_GRANTED",
      "Credits not granted",
      "The books did not take the entry; the reason is in the log.",
    );
  }
  await granting.body?.cancel();
  // A key grants once; what it granted is in the book, whatever is asked for now.
  const [granted] = await (await entries({
    select: "amount",
    user_id: `eq.${user.id}`,
    kind: "eq.grant",
    request_id: `eq.${key}`,
  })).json();
  // The book went with the account, in between.
  if (granted === undefined) {
    return problem(
      401,
      "NOT_SIGNED_IN",
      "Not signed in",
      "The account is gone.",
    );
  }
  return granted.amount === said.data.amount ? Response.json(granted) : problem(
    422,
    "IDEMPOTENCY_KEY_REUSED",
    "Key used before",
    `This key has granted ${granted.amount}: send another one.`,
  );
}

/**
 * The operators' page of this stack. Whoever comes without the link is sent to
 * it: the database is a local one, and its secret key is on the terminal.
 */
async function serveOps(
  ops: ServeOps,
  token: string,
  request: Request,
): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/ops" && request.method === "GET" && isLoopback(request)) {
    return new Response(null, {
      status: 302,
      headers: {
        location: `/ops/#token=${token}`,
        "cache-control": "no-store",
      },
    });
  }
  return await ops(request, pathname.slice("/ops/".length));
}

async function bundle(): Promise<string> {
  // The bundler is only loaded where somebody looks at a page.
  const { bundleClient } = await import("../client/bundle.ts");
  return await bundleClient();
}
