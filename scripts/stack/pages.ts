import type { Keys } from "./keys.ts";

/** Answers a request for a page or a part of one; `null` for any other. */
export type ServePage = (request: Request) => Promise<Response | null>;

const FOLDER = new URL("pages/", import.meta.url);

/** The files of the pages, by the path that each is served at. */
const FILES: Record<string, string> = {
  "/": "try.html",
  "/ops": "ops.html",
  "/ops.css": "ops.css",
  "/ops.js": "ops.js",
  "/ops/api.js": "ops/api.js",
  "/ops/chart.js": "ops/chart.js",
  "/ops/elements.js": "ops/elements.js",
  "/ops/figures.css": "ops/figures.css",
  "/ops/figures.js": "ops/figures.js",
  "/ops/forms.css": "ops/forms.css",
  "/ops/resolve.js": "ops/resolve.js",
  "/ops/stuck.js": "ops/stuck.js",
  "/sample.md": "../../demo/taking-effect-once.md",
  "/try.css": "try.css",
  "/try.js": "try.js",
  "/try/document.js": "try/document.js",
  "/try/network.js": "try/network.js",
  "/try/processing.js": "try/processing.js",
  "/try/project.js": "try/project.js",
  "/try/session.js": "try/session.js",
  "/try/timeline.js": "try/timeline.js",
};

const TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  md: "text/markdown; charset=utf-8",
};

const SECURITY = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** Serves the pages of the local stack; `/client.js` is made when asked for first. */
export function createPages(
  { publishableKey }: Pick<Keys, "publishableKey">,
): ServePage {
  let client: Promise<string> | undefined;

  const read = async (path: string): Promise<string | null> => {
    if (path === "/client.js") return await (client ??= bundle());
    if (path === "/project.json") return JSON.stringify({ publishableKey });
    return Object.hasOwn(FILES, path)
      ? await Deno.readTextFile(new URL(FILES[path]!, FOLDER))
      : null;
  };

  return async (request) => {
    if (!["GET", "HEAD"].includes(request.method)) return null;
    const { pathname } = new URL(request.url);
    const content = await read(pathname);
    if (content === null) return null;
    const extension = /\.(\w+)$/.exec(FILES[pathname] ?? pathname)![1]!;
    return new Response(request.method === "HEAD" ? null : content, {
      headers: {
        ...SECURITY,
        "content-type": TYPES[extension]!,
        "cache-control": "no-cache",
      },
    });
  };
}

async function bundle(): Promise<string> {
  // The bundler is only loaded where somebody looks at a page.
  const { bundleClient } = await import("../client/bundle.ts");
  return await bundleClient();
}
