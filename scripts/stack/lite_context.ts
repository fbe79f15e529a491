import type { Database } from "./database.ts";

interface Context {
  auth?: { role?: string; uid?: string | null; jwt?: unknown };
  storage?: { operation?: string | null };
}

interface HttpRequest {
  method: string;
  path: string;
  requestHeaders?: Record<string, string>;
}

type Session = Database["connection"]["kysely"];

interface Internals {
  rlsState?: string;
  applyJwtSessionContext?: unknown;
  applyRpcRequestGucs?: unknown;
}

/**
 * At its first request lite grants every privilege on every table to the API
 * roles, and sets default privileges to do so for later ones, as soon as one
 * table has row level security. Hosted projects do not, and a test of our grants
 * would prove nothing. Telling it that this has been done leaves them alone.
 */
export function keepGrantsAsMigrated({ connection }: Database): void {
  const internals = connection as unknown as Internals;
  if (internals.rlsState !== "unknown") {
    throw new Error(
      `Cannot keep @supabase/lite from granting privileges: expected its rlsState to be "unknown", found "${internals.rlsState}".`,
    );
  }
  internals.rlsState = "active";
}

/**
 * lite sets role, claims and request settings of a call in eleven statements.
 * PostgREST does it in one, and the time of a call is measured here. It also
 * tells policies on tables what the request's headers are, not functions alone.
 *
 * @param request What is being served at this moment.
 */
export function setContextAtOnce(
  { connection }: Database,
  request: () => Request | undefined,
): void {
  const internals = connection as unknown as Internals;
  if (!internals.applyJwtSessionContext || !internals.applyRpcRequestGucs) {
    return;
  }
  internals.applyJwtSessionContext = (session: Session, vars: Context) => {
    const role = vars.auth?.role || "anon";
    const claims = vars.auth?.jwt;
    const headers = request()?.headers;
    return configure(session, {
      "request.headers": headers === undefined
        ? ""
        : JSON.stringify(Object.fromEntries(headers)),
      role,
      "request.jwt.claim.sub": String(vars.auth?.uid ?? ""),
      "request.jwt.claim.role": role,
      "request.jwt.claims": typeof claims === "object" && claims !== null
        ? JSON.stringify(claims)
        : "",
      "storage.operation": String(vars.storage?.operation ?? ""),
    });
  };
  internals.applyRpcRequestGucs = (session: Session, request: HttpRequest) =>
    configure(session, {
      "response.status": "",
      "response.headers": "",
      "request.method": request.method,
      "request.path": request.path,
      "request.headers": JSON.stringify(request.requestHeaders ?? {}),
    });
}

async function configure(
  session: Session,
  settings: Record<string, string>,
): Promise<void> {
  await session.selectNoFrom((sql) =>
    Object.entries(settings).map(([name, value], index) =>
      sql.fn<string>("set_config", [
        sql.val(name),
        sql.val(value),
        sql.val(true),
      ]).as(`setting_${index}`)
    )
  ).execute();
}
