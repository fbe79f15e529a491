import type { IdempotencyConfig, ResolvedConfig } from "./config.ts";
import { resolveConfig } from "./config.ts";
import { defineMiddleware, type Middleware } from "./deps.ts";
import { fingerprintRequest } from "./fingerprint.ts";
import {
  handlerRun,
  type IdempotencyContext,
  withoutKey,
} from "./handler_run.ts";
import { assertIdempotencyKey, getIdempotencyKey } from "./key.ts";
import { checkedMetadata } from "./metadata.ts";
import type { Identity, Ledger } from "./ledger.ts";
import { admitWithoutKey } from "./missing_key.ts";
import { refusalResponse } from "./refusal_response.ts";
import { replayResponse } from "./response.ts";
import { begin, type Begun } from "./run.ts";
import { sha256Hex } from "./sha256.ts";
import { type LedgerClient, supabaseLedger } from "./supabase_ledger.ts";

/** What `withSupabase` put there, as far as the middleware uses it. */
export interface Upstream {
  /** Calls go out as the caller. */
  supabase: LedgerClient;
  /** Calls go out with the secret key. */
  supabaseAdmin: LedgerClient;
  /** The verified token's identity; `null` when there was no token. */
  userClaims: { id: string } | null;
  /** How the caller was let in. */
  authMode: string;
}

// RFC 9110, section 9.2.1: safe methods have no effect to protect.
const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

const ENFORCED_METHODS = new Set(["POST", "PUT", "PATCH"]);

/** The middleware form of `withIdempotency`. */
export const idempotencyMiddleware: Middleware<
  "idempotency",
  IdempotencyConfig | undefined,
  Upstream,
  IdempotencyContext
> = defineMiddleware<
  "idempotency",
  IdempotencyConfig | undefined,
  Upstream,
  IdempotencyContext
>({
  key: "idempotency",
  run: (options) => {
    const config = resolveConfig(options);
    return async function* (req, ctx) {
      const scope = config.scope ?? scopeOf(req);
      const unprotected = { idempotency: withoutKey(scope) };
      if (SAFE_METHODS.has(req.method)) return yield unprotected;

      let begun: Begun;
      try {
        const key = await keyOf(req, config);
        if (key === null) {
          if (!ENFORCED_METHODS.has(req.method)) return yield unprotected;
          const { enforcement, onEvent } = config;
          const mark = admitWithoutKey(scope, enforcement, onEvent);
          return mark(yield unprotected);
        }
        begun = await beginRequest(req, ctx, config, { scope, key });
      } catch (error) {
        return refusalResponse(error, req);
      }
      if (begun.kind === "unprotected") return yield unprotected;
      if (begun.kind === "replay") return replayResponse(begun.answer);

      const run = handlerRun(begun.run, scope, config);
      let response: Response;
      try {
        response = yield { idempotency: run.context };
      } catch (error) {
        return await run.fail(error);
      }
      try {
        return await run.settle(response);
      } catch (error) {
        return refusalResponse(error, req);
      }
    };
  },
});

async function beginRequest(
  req: Request,
  ctx: Upstream,
  config: ResolvedConfig,
  { scope, key }: { scope: string; key: string },
): Promise<Begun> {
  const { ledger, userId } = callerOf(ctx, config);
  const identity: Identity = { userId, scope, key };
  const fingerprint = config.fingerprint === undefined
    ? await fingerprintRequest(req.clone())
    : await sha256Hex(await config.fingerprint(req.clone()));
  const metadata = config.metadata === undefined
    ? null
    : checkedMetadata(await config.metadata(req));
  return await begin({ ledger, identity, fingerprint, config, metadata });
}

/** Identity comes from the verified token and from nowhere else. */
function callerOf(
  ctx: Upstream,
  config: ResolvedConfig,
): { ledger: Ledger; userId: string | null } {
  const userId = ctx.userClaims?.id ?? null;
  if (userId !== null) {
    const asUser = config.ledger === "user";
    return {
      ledger: supabaseLedger(asUser ? ctx.supabase : ctx.supabaseAdmin),
      userId,
    };
  }
  // The project's own keys: whoever holds the secret key, or a route that says
  // so. All its callers share one space of keys.
  if (ctx.authMode === "secret" || config.ledger === "admin") {
    return { ledger: supabaseLedger(ctx.supabaseAdmin), userId };
  }
  throw new TypeError(
    `Cannot tell whose idempotency key this is: the route admits "${ctx.authMode}" callers; require auth "user" or "secret", or set ledger: "admin" to let all callers share one space of keys`,
  );
}

async function keyOf(
  req: Request,
  config: ResolvedConfig,
): Promise<string | null> {
  if (config.key === undefined) return getIdempotencyKey(req);
  const key = await config.key(req);
  if (key !== null) assertIdempotencyKey(key, "The key of this request");
  return key;
}

/** `/process-document` on the platform, `/functions/v1/…` behind a proxy. */
function scopeOf(req: Request): string {
  const path = new URL(req.url).pathname.replace(/^\/functions\/v1(?=\/)/, "");
  return path.split("/")[1] || "default";
}
