import { executeDatabaseOperation } from "./execute_database_operation.ts";
import { executeExternalCall } from "./execute_external_call.ts";
import { currentScope } from "./scope.ts";
import { traceHeaders } from "./trace_headers.ts";

/**
 * `fetch`, with the trace in it: each call sends `traceparent` and makes a line,
 * `DATABASE_OPERATION` where it goes to this project's Data API, `EXTERNAL_CALL`
 * elsewhere. Outside of a trace it is `fetch`.
 *
 * Given to a Supabase client it covers all that the client does, the ledger's
 * calls included:
 * `withSupabase({ auth: "user", supabaseOptions: { global: { fetch: tracedFetch } } })`.
 */
export const tracedFetch: typeof fetch = async (input, init) => {
  const scope = currentScope();
  if (scope === undefined) return await fetch(input, init);
  const url = new URL(input instanceof Request ? input.url : input);
  const method = init?.method ??
    (input instanceof Request ? input.method : "GET");
  const headers = new Headers(
    init?.headers ?? (input instanceof Request ? input.headers : undefined),
  );
  const send = () => {
    for (const [name, value] of Object.entries(traceHeaders())) {
      headers.set(name, value);
    }
    return fetch(input, { ...init, headers });
  };
  // Somebody who knows more about this call writes its line.
  if (scope.isCall) return await send();
  const operation = databaseOperation(url, method, headers);
  if (operation === null) {
    return await executeExternalCall(
      scope.traceId,
      url.host,
      method,
      url.pathname,
      send,
    );
  }
  const { op, table } = operation;
  let response: Response | undefined;
  await executeDatabaseOperation(scope.traceId, op, table, async () => {
    response = await send();
    return { error: response.ok ? null : await errorOf(response) };
  });
  return response!;
};

const WRITES: Record<string, string> = {
  POST: "insert",
  PUT: "upsert",
  PATCH: "update",
  DELETE: "delete",
};

/** What a call of this project's Data API does, and to which table or function. */
function databaseOperation(
  url: URL,
  method: string,
  headers: Headers,
): { op: string; table: string } | null {
  const base = Deno.env.get("SUPABASE_URL");
  if (base === undefined || new URL(base).origin !== url.origin) return null;
  const [, isRpc, name] = /^\/rest\/v1\/(rpc\/)?([^/]+)$/.exec(url.pathname) ??
    [];
  if (name === undefined) return null;
  const table = decodeURIComponent(name);
  if (isRpc !== undefined) return { op: "rpc", table };
  const isUpsert = headers.get("prefer")?.includes("resolution=") ?? false;
  return { op: isUpsert ? "upsert" : WRITES[method] ?? "select", table };
}

/** The code that the database gave, without its words. */
async function errorOf(response: Response): Promise<{ code?: string }> {
  try {
    const { code } = await response.clone().json();
    return typeof code === "string" ? { code } : { code: `${response.status}` };
  } catch {
    return { code: `${response.status}` };
  }
}
