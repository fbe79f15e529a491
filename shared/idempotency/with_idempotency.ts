import type { IdempotencyConfig, UserOf } from "./config.ts";
import type { Middleware } from "./deps.ts";
import { LedgerUnavailableError } from "./errors.ts";
import type { Ledger } from "./ledger.ts";
import {
  type IdempotencyContext,
  idempotencyMiddleware,
  type Upstream,
} from "./middleware.ts";
import {
  type OperationContext,
  type OperationOutcome,
  type OperationResult,
  type OperationRun,
  runOperation,
} from "./operation.ts";
import { ALLOWED_HEADERS } from "./response.ts";
import { type LedgerClient, supabaseLedger } from "./supabase_ledger.ts";

/**
 * What {@link verifiedUser} needs of a Supabase client; any `SupabaseClient`
 * fits without a cast.
 */
export interface AuthClient {
  readonly auth: {
    /** Verifies a token, as supabase-js does. */
    getClaims(token: string): PromiseLike<
      | { data: { claims: { sub: string } }; error: null }
      | { data: null; error: { status?: number | undefined } | null }
    >;
  };
}

/**
 * How a handler of its own is protected, one that needs no `@supabase/server`:
 * `Deno.serve`, Hono, Next.js, Workers.
 */
export type HandlerConfig =
  & IdempotencyConfig
  & {
    /**
     * The headers with which the handler answers pages of other origins. They
     * are added to what it does not write itself, replays and refusals, and the
     * key's header to what its preflight allows.
     *
     * @default {"none, the handler is for servers"}
     */
    cors?: Record<string, string> | undefined;
  }
  & (
    | {
      /**
       * A client of the project. It verifies tokens and, inside a function of
       * the project, reaches the ledger with the secret key of the environment;
       * elsewhere it has to be the secret key's. `user` and `store` replace
       * these two.
       */
      supabase: LedgerClient & AuthClient;
    }
    | {
      supabase?: undefined;
      user: UserOf;
      store: Ledger;
    }
  );

/** A handler of its own, as it is written. */
type Handler = (
  req: Request,
  ctx: { readonly idempotency: IdempotencyContext },
) => Response | Promise<Response>;

/** A handler of its own, as it is served. */
type Served = (req: Request, platform?: unknown) => Promise<Response>;

/** The four forms of {@link withIdempotency}. */
export type WithIdempotency =
  & ((config: HandlerConfig, handler: Handler) => Served)
  & (<Body>(
    context: OperationContext,
    operation: (run: OperationRun) => Promise<OperationResult<Body>>,
  ) => Promise<OperationOutcome<Body>>)
  & Middleware<
    "idempotency",
    IdempotencyConfig | undefined,
    Upstream,
    IdempotencyContext
  >;

/**
 * Lets a request take effect once: every retry under the same key gets the
 * same answer.
 *
 * - `withIdempotency(config)` is an entry for `pipeline` from
 *   `@supabase/middleware`, after `withSupabase`;
 * - `withIdempotency(config, handler)` wraps a handler, inside `withSupabase`;
 * - `withIdempotency({ supabase, … }, handler)` wraps a handler of its own, for
 *   `Deno.serve`, Hono or Next.js;
 * - `withIdempotency({ supabase, userId, route, key }, operation)` wraps a plain
 *   operation, without HTTP. The `key` in it, a string or `null`, tells this
 *   form from the others. What keeps the operation from running (in progress,
 *   another payload, a ledger out of reach) is not thrown: it is the outcome,
 *   with its status and the problem document as the body.
 *
 * @throws {TypeError} When the configuration is wrong, at once.
 *
 * @example The plain operation
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLedger } from "./memory_ledger.ts";
 * import { withIdempotency } from "./with_idempotency.ts";
 *
 * let orders = 0;
 * const context = {
 *   store: memoryLedger(),
 *   userId: "u1",
 *   route: "orders",
 *   key: "order-17",
 * };
 * const place = () =>
 *   withIdempotency(
 *     context,
 *     () => Promise.resolve({ status: 201, body: { order: ++orders } }),
 *   );
 * assertEquals((await place()).body, { order: 1 });
 * const retry = await place();
 * assertEquals([retry.body, retry.replayed], [{ order: 1 }, true]);
 * ```
 *
 * @example A handler of its own
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createClient } from "@supabase/supabase-js";
 * import { withIdempotency } from "./with_idempotency.ts";
 *
 * const supabase = createClient("http://127.0.0.1:9", "key");
 * const handler = withIdempotency(
 *   { supabase, scope: "orders" },
 *   async (req) => Response.json(await req.json(), { status: 201 }),
 * ); // Deno.serve(handler)
 * const order = { method: "POST", body: "{}" };
 * const answer = await handler(new Request("http://localhost/orders", order));
 * assertEquals(answer.status, 201);
 * ```
 *
 * @example A middleware in a pipeline
 * ```ts
 * import { pipeline } from "@supabase/middleware";
 * import { withSupabase } from "@supabase/server";
 * import { corsHeaders } from "./response.ts";
 * import { withIdempotency } from "./with_idempotency.ts";
 *
 * const app = {
 *   fetch: pipeline(
 *     [
 *       withSupabase({ auth: "user", cors: { headers: corsHeaders } }),
 *       withIdempotency({ scope: "orders", enforcement: "required" }),
 *     ],
 *     async (req, ctx) => {
 *       const order = await req.json();
 *       return Response.json({ order, attempt: ctx.idempotency.attempt });
 *     },
 *   ),
 * };
 * ```
 */
export const withIdempotency: WithIdempotency = ((
  first: object | undefined,
  second?: never,
) => {
  if (isOperationContext(first)) return runOperation(first, second!);
  // A configuration, or a handler that needs none.
  if (second === undefined) return idempotencyMiddleware(first);
  if (isHandlerConfig(first)) return protect(first, second);
  return idempotencyMiddleware(first, second);
}) as WithIdempotency;

// A handler's config may have a key that is left out by being undefined.
function isOperationContext(value: unknown): value is OperationContext {
  return typeof value === "object" && value !== null && "key" in value &&
    typeof value.key !== "function" &&
    (value.key !== undefined || "route" in value);
}

function isHandlerConfig(value: unknown): value is HandlerConfig {
  return typeof value === "object" && value !== null &&
    ("supabase" in value || "user" in value && "store" in value);
}

function protect(
  { supabase, cors = {}, ...config }: HandlerConfig,
  handler: Handler,
): Served {
  const run = idempotencyMiddleware(
    supabase === undefined ? config : {
      ...config,
      user: config.user ?? verifiedUser(supabase),
      store: config.store ?? supabaseLedger(supabase),
    },
    async (req, ctx) => await handler(req, ctx),
  ) as Served;
  return async (req, platform) => addCors(await run(req, platform), cors);
}

// What the handler wrote itself is left as it is, but for its lists of the names
// that a page may read or send: ours are added to them.
function addCors(given: Response, cors: Record<string, string>): Response {
  const allow = "Access-Control-Allow-Headers";
  const expose = "Access-Control-Expose-Headers";
  const names = Object.keys(cors);
  // 101 is no response that can be made anew.
  if (given.status < 200 || !(names.length > 0 || given.headers.has(allow))) {
    return given;
  }
  const response = new Response(given.body, given);
  const { headers } = response;
  for (const [name, value] of new Headers(cors)) {
    const written = headers.get(name);
    const isAdded = written === null ||
      name === expose.toLowerCase() && !written.includes(value);
    if (isAdded) headers.append(name, value);
  }
  if (headers.has(allow)) {
    headers.append(allow, ALLOWED_HEADERS);
    // By OPTIONS our client asks whether a page may send a key.
    headers.append("Access-Control-Allow-Methods", "OPTIONS");
  }
  return response;
}

/**
 * The user whom the bearer token of a request names, verified by Supabase Auth:
 * in the worker by the project's public keys, or with one call where the token
 * is signed with the shared secret of older projects (HS256).
 *
 * @returns Reads the `sub` of a request's token: `null` without one, or where it
 * is not valid. Throws {@link LedgerUnavailableError} where Auth does not answer.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createClient } from "@supabase/supabase-js";
 * import { verifiedUser } from "./with_idempotency.ts";
 *
 * const user = verifiedUser(createClient("http://127.0.0.1:9", "key"));
 * assertEquals(await user(new Request("http://localhost/orders")), null);
 * ```
 */
export function verifiedUser(
  supabase: AuthClient,
): (req: Request) => Promise<string | null> {
  return async (req) => {
    const header = req.headers.get("Authorization") ?? "";
    const token = /^Bearer +(\S+)$/i.exec(header)?.[1];
    if (token === undefined) return null;
    let cause: { status?: number | undefined } | null;
    try {
      const { data, error } = await supabase.auth.getClaims(token);
      if (error === null) return data?.claims.sub ?? null;
      cause = error;
    } catch (error) {
      // An answer of Auth has a status, and so has a failure to reach it. Any
      // other error is of a token that cannot be read: anybody can send one.
      if (!("status" in Object(error))) return null;
      cause = error as { status?: number };
    }
    const status = cause?.status;
    const isRefused = status !== undefined && status >= 400 && status < 500 &&
      status !== 429;
    if (isRefused) return null;
    throw new LedgerUnavailableError(
      "verify the caller's token",
      cause,
      undefined,
      "Supabase Auth",
    );
  };
}
