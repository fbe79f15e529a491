import { logFailure, problem } from "./answers.ts";
import { announcesTooMuch, boundRequest, tooLarge } from "./body_limit.ts";
import { preflight, readable } from "./cors.ts";
import type { Database } from "./database.ts";
import type { ServeFunction } from "./functions.ts";
import type { Lite } from "./lite.ts";
import type { ServePage } from "./pages.ts";
import type { Provider } from "./provider.ts";

/** What stands behind the gateway. */
export interface Backends {
  database: Database;
  lite: Lite;
  functions: ServeFunction;
  /** Absent for somebody else's project. */
  pages?: ServePage;
  provider?: Provider;
}

// What no `Request` can be made with (Fetch, section 2.2.1).
const UNHEARD_OF = new Set(["CONNECT", "TRACE", "TRACK"]);

/** Routes requests as the gateway of a hosted project does. */
export function createGateway(
  { database, lite, functions, pages, provider }: Backends,
): Deno.ServeHandler {
  return async (request, info) => {
    if (announcesTooMuch(request)) {
      await request.body?.cancel();
      return tooLarge();
    }
    const target = URL.parse(request.url);
    if (target === null || UNHEARD_OF.has(request.method)) {
      await request.body?.cancel();
      return problem(
        400,
        "REQUEST_INVALID",
        "Invalid request",
        "The request line is not as expected: check method and address.",
      );
    }
    const { pathname } = target;
    const [, service = "", version = "", name = ""] = pathname.split("/");
    const route = `/${service}/${version}`;
    try {
      if (route === "/functions/v1" && name === "_health") {
        return await health(database);
      }
      if (route === "/functions/v1") {
        return await functions(name, request, info);
      }
      if (route === "/auth/v1" || route === "/rest/v1") {
        if (request.method === "OPTIONS") return preflight(request);
        const bounded = boundRequest(request);
        const response = await lite.fetch(bounded.request);
        return bounded.exceeded() ? tooLarge() : readable(response);
      }
      if (service === "_provider" && provider) {
        const path = pathname.slice("/_provider".length);
        return await provider.fetch(path, boundRequest(request).request);
      }
      const page = await pages?.(request);
      if (page) return page;
    } catch (error) {
      logFailure(`${request.method} ${pathname}`, error);
      return problem(
        500,
        "INTERNAL_ERROR",
        "Internal error",
        "The local stack failed to answer; the reason is in the log.",
      );
    }
    return problem(
      404,
      "NOT_FOUND",
      "Not found",
      `Nothing is served at ${pathname}.`,
    );
  };
}

async function health(database: Database): Promise<Response> {
  try {
    await database.query("select 1");
    return Response.json({ status: "ok", database: database.kind });
  } catch (error) {
    logFailure("health", error);
    return problem(
      503,
      "DATABASE_UNREACHABLE",
      "Database unreachable",
      "The database does not answer.",
    );
  }
}
