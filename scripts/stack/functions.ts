import { pathToFileURL } from "node:url";
import { logFailure, problem } from "./answers.ts";
import { boundRequest, tooLarge } from "./body_limit.ts";
import type { Keys } from "./keys.ts";
import type { FunctionSettings } from "./settings.ts";
import { checkToken } from "./tokens.ts";

/** Answers one request to a function, as the hosted gateway and runtime do. */
export type ServeFunction = (
  name: string,
  request: Request,
  info: Deno.ServeHandlerInfo,
) => Promise<Response>;

type Fetch = (
  request: Request,
  info: Deno.ServeHandlerInfo,
) => Response | Promise<Response>;

/** Serves the functions that `settings` declares, each loaded at its first request. */
export function createFunctionServer(
  settings: Map<string, FunctionSettings>,
  keys: Keys,
): ServeFunction {
  const loaded = new Map<string, Promise<Fetch>>();

  const load = (name: string, entrypoint: string): Promise<Fetch> => {
    const known = loaded.get(name);
    if (known) return known;
    const loading = importFetch(entrypoint);
    // A function that failed to load gets another chance once it is mended.
    loading.catch(() => loaded.delete(name));
    loaded.set(name, loading);
    return loading;
  };

  return async (name, request, info) => {
    const declared = settings.get(name);
    if (!declared) {
      return problem(
        404,
        "NOT_FOUND",
        "Function not found",
        `No function "${name}" is declared in supabase/config.toml.`,
      );
    }
    const headers = new Headers(request.headers);
    const check = await checkToken(headers, keys);
    if (check.state === "valid") {
      headers.set("authorization", `Bearer ${check.token}`);
    } else if (declared.verifyJwt && request.method !== "OPTIONS") {
      return unauthorized(check.state);
    }
    let fetch: Fetch;
    try {
      fetch = await load(name, declared.entrypoint);
    } catch (error) {
      logFailure(`function ${name} did not load`, error);
      return problem(
        503,
        "BOOT_ERROR",
        "Function failed to start",
        `The function "${name}" could not be loaded; the reason is in the log.`,
      );
    }
    const url = withoutPrefix(request.url);
    const bounded = boundRequest(request, { url, headers });
    try {
      const response = await fetch(bounded.request, info);
      if (!bounded.exceeded()) return response;
      await response.body?.cancel();
    } catch (error) {
      if (!bounded.exceeded()) {
        logFailure(`function ${name} threw`, error);
        return problem(
          500,
          "WORKER_ERROR",
          "Function failed",
          `The function "${name}" threw an error; it is in the log.`,
        );
      }
    }
    return tooLarge();
  };
}

async function importFetch(entrypoint: string): Promise<Fetch> {
  const module = await import(pathToFileURL(entrypoint).href);
  const fetch = module.default?.fetch;
  if (typeof fetch !== "function") {
    throw new Error(`${entrypoint} has no default export with a fetch method.`);
  }
  return (request, info) => fetch.call(module.default, request, info);
}

/** A hosted function sees `/<name>/…`, not the gateway's path. */
function withoutPrefix(href: string): URL {
  const url = new URL(href);
  url.pathname = url.pathname.slice("/functions/v1".length);
  return url;
}

function unauthorized(state: "missing" | "invalid"): Response {
  const message = state === "missing"
    ? "Missing authorization header"
    : "Invalid JWT";
  return Response.json({ code: 401, message }, {
    status: 401,
    headers: { "access-control-allow-origin": "*" },
  });
}
