import { logFailure, problem } from "./answers.ts";
import { within } from "./background.ts";
import { boundRequest, tooLarge } from "./body_limit.ts";
import { type LoadedFunction, loadFunction } from "./function_module.ts";
import { startFunctionProcess } from "./function_process.ts";
import type { ProjectKeys } from "./tokens.ts";
import type { FunctionSettings } from "./settings.ts";
import { checkToken } from "./tokens.ts";

/** Answers one request to a function, as the hosted gateway and runtime do. */
export type ServeFunction = (
  name: string,
  request: Request,
  info: Deno.ServeHandlerInfo,
) => Promise<Response>;

/** The functions of a project, as they are asked for. */
export interface FunctionServer {
  serve: ServeFunction;
  /** Lets functions that have a process of their own finish, and ends them. */
  close(): Promise<void>;
}

/**
 * Serves the functions that `settings` declares, each loaded at its first
 * request: into this process, or where it has an import map of its own, which a
 * process has one of, into one of its own.
 */
export function createFunctionServer(
  settings: Map<string, FunctionSettings>,
  keys: ProjectKeys,
): FunctionServer {
  const loaded = new Map<string, Promise<LoadedFunction>>();
  const ending = new AbortController();

  const load = (
    { entrypoint, importMap }: FunctionSettings,
  ): Promise<LoadedFunction> => {
    // Two names may share a module, which is evaluated once.
    const id = JSON.stringify([entrypoint, importMap]);
    const known = loaded.get(id);
    if (known) return known;
    const forget = () => void loaded.delete(id);
    const loading = importMap === undefined
      ? loadFunction(entrypoint)
      : startFunctionProcess(entrypoint, importMap, ending.signal).then(
        (started) => {
          // The next request starts another one.
          started.ended.then(forget);
          return started;
        },
      );
    // A function that failed to load gets another chance once it is mended.
    loading.catch(forget);
    loaded.set(id, loading);
    return loading;
  };

  const close = async () => {
    await Promise.all([...loaded.values()].map(async (loading) => {
      // What is still loading may never be done with it.
      await (await within(0, loading.catch(() => undefined)))?.close();
    }));
    // What did not end by itself: it is loading, or in a loop.
    ending.abort();
  };

  const serve: ServeFunction = async (name, request, info) => {
    const declared = settings.get(name);
    if (!declared) {
      return problem(
        404,
        "NOT_FOUND",
        "Function not found",
        `The project has no function "${name}": neither supabase/config.toml nor a folder of supabase/functions declares it.`,
      );
    }
    const headers = new Headers(request.headers);
    const check = await checkToken(headers, keys);
    if (check.state === "valid") {
      headers.set("authorization", `Bearer ${check.token}`);
    } else if (declared.verifyJwt && request.method !== "OPTIONS") {
      return unauthorized(check.state);
    }
    let loadedFunction: LoadedFunction;
    try {
      loadedFunction = await load(declared);
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
      const response = await loadedFunction.fetch(bounded.request, info);
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
  return { serve, close };
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
