import { type Attempt, unprotectedAttempt } from "./attempt.ts";
import { type Begun, claim } from "./claim.ts";
import {
  checkedMetadata,
  type IdempotencyConfig,
  isScope,
  resolveConfig,
  type ResolvedConfig,
} from "./config.ts";
import { defineMiddleware, type Middleware } from "./deps.ts";
import { admitWithoutKey } from "./enforcement.ts";
import { CallerUnknownError, LeaseLostError } from "./errors.ts";
import { cloneUnread, fingerprintRequest, sha256Hex } from "./fingerprint.ts";
import { assertIdempotencyKey, readIdempotencyKey } from "./key.ts";
import type { Answer } from "./ledger.ts";
import { platform } from "./platform.ts";
import { postgresLedger, type QueryClient } from "./postgres_ledger.ts";
import { refusalResponse } from "./problem.ts";
import {
  firstResponse,
  outcomeHeaders,
  passThrough,
  readAnswer,
  replayResponse,
} from "./response.ts";
import { type LedgerClient, supabaseLedger } from "./supabase_ledger.ts";

/** What `withSupabase` put there, as far as the middleware uses it. */
export interface Upstream {
  /** Calls go out with the secret key; the ledger, unless there is a `store`. */
  supabaseAdmin: LedgerClient;
  /** The verified token's identity; `null` when there was no token. */
  userClaims: { id: string } | null;
  /** How the caller was let in. */
  authMode: string;
}

/** What the middleware puts at `ctx.idempotency`. */
export interface IdempotencyContext
  extends Pick<Attempt, "effectKey" | "fence" | "key" | "signal" | "step"> {
  /** The route or operation that the key belongs to. */
  readonly scope: string;
  /** Which run of the key this is, from 1; 0 without a key. */
  readonly attempt: number;
  /**
   * Marks the answer of this run as no outcome: a question, or a refusal with
   * nothing done. It is not recorded, and the same request runs again.
   */
  notFinal(response: Response): Response;
  /**
   * Gives this answer now, for instance 202, and goes on in the background. The
   * key stays in progress until `work` ends; then its answer is recorded, what
   * retries get, and the user is notified where Supabase Realtime is installed.
   * Work that throws, or ends in no final answer, leaves the key free. It is not
   * begun where this attempt has lost the key by then.
   *
   * @throws {TypeError} When there is such work already.
   */
  finishLater(accepted: Response, work: () => Promise<Response>): Response;
  /**
   * Passes the body through as it comes. The key is completed when the body has
   * ended; cut off, by a client that goes away too, it leaves the key free, and
   * a retry runs again. `text/event-stream` is treated so by itself.
   */
  streamed(response: Response): Response;
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
> = defineMiddleware({
  key: "idempotency",
  run: (options) => {
    const config = resolveConfig(options);
    return async function* (req, ctx) {
      let begun: Begun;
      let scope: string;
      let mark = (answer: Response) => answer;
      try {
        const isSafe = SAFE_METHODS.has(req.method);
        scope = isSafe ? functionName(req) : await scopeOf(req, ctx, config);
        const keyed = isSafe ? null : await begin(req, ctx, config, scope);
        if (keyed === null && ENFORCED_METHODS.has(req.method)) {
          const { enforcement, onEvent, key } = config;
          const what = key && "one where this route looks for it";
          mark = admitWithoutKey(scope, enforcement, onEvent, what);
        }
        begun = keyed ?? { kind: "attempt", attempt: unprotectedAttempt() };
      } catch (error) {
        return refusalResponse(error, req);
      }
      if (begun.kind === "answer") return replayResponse(begun.answer);

      const run = handlerRun(begun.attempt, scope);
      let response: Response;
      try {
        response = yield { idempotency: run.context };
      } catch (error) {
        return await run.fail(error).catch((refusal) => {
          // What the handler threw is not ours to answer.
          if (refusal === error) throw error;
          return refusalResponse(refusal, req);
        });
      }
      try {
        return mark(await run.settle(response));
      } catch (error) {
        return refusalResponse(error, req);
      }
    };
  },
});

/** `null` for a request without a key. */
async function begin(
  req: Request,
  ctx: Upstream & { postgresAdmin?: QueryClient },
  config: ResolvedConfig,
  scope: string,
): Promise<Begun | null> {
  const key = config.key === undefined
    ? readIdempotencyKey(req)
    : await config.key(req);
  if (key === null) return null;
  if (config.key !== undefined) {
    assertIdempotencyKey(key, "The key of this request");
  }

  // Identity comes from the verified token and from nowhere else.
  const userId = config.user === undefined
    ? ctx.userClaims?.id ?? null
    : await config.user(req, ctx) ?? null;
  const isProject = config.callers === "project" || ctx.authMode === "secret";
  if (userId === null && !isProject) {
    throw new CallerUnknownError(
      ctx.authMode === undefined
        ? "no user whom a token names"
        : `let in as "${ctx.authMode}" and no user`,
    );
  }

  // Users look at the ledger; the service role, or a direct connection, writes.
  const ledger = config.store ??
    (ctx.postgresAdmin === undefined
      ? supabaseLedger(ctx.supabaseAdmin)
      : postgresLedger(ctx.postgresAdmin));
  const { metadata } = config;
  return await claim(ledger, { userId, scope, key }, {
    fingerprint: config.fingerprint === undefined
      ? await fingerprintRequest(cloneUnread(req))
      : await sha256Hex(made(await config.fingerprint(cloneUnread(req)))),
    config,
    metadata: metadata === undefined ? null : checkedMetadata(
      typeof metadata === "function" ? await metadata(req) : metadata,
    ),
  });
}

/** What a route's own function made for the fingerprint. */
function made(value: unknown): string {
  if (typeof value === "string") return value;
  throw new TypeError(
    `Cannot use the fingerprint that the route made of this request: expected a string, got ${typeof value}`,
  );
}

async function scopeOf(
  req: Request,
  ctx: Upstream,
  { scope = functionName }: ResolvedConfig,
): Promise<string> {
  if (typeof scope === "string") return scope;
  const made = await scope(req, ctx);
  const wanted = isScope(made);
  if (wanted === null) return made;
  throw new TypeError(
    `Cannot use the scope that the route made of this request: expected ${wanted}, got ${
      typeof made === "string" ? `${made.length}` : typeof made
    }`,
  );
}

/** `/process-document` on the platform, `/functions/v1/…` behind a proxy. */
function functionName(req: Request): string {
  const path = new URL(req.url).pathname.replace(/^\/functions\/v1(?=\/)/, "");
  // As long as a scope may be: anybody can send a longer path.
  return path.split("/")[1]!.slice(0, 200) || "default";
}

/** A handler's run, from the context it is given to the response it ends in. */
interface HandlerRun {
  readonly context: IdempotencyContext;
  /**
   * The response to give for the handler's.
   *
   * @throws {RequestInProgressError} When another attempt has the key now.
   */
  settle(response: Response): Promise<Response>;
  /**
   * The response to give after the handler threw.
   *
   * @throws Its error, unless another attempt has recorded an answer.
   */
  fail(error: unknown): Promise<Response>;
}

function handlerRun(attempt: Attempt, scope: string): HandlerRun {
  let isQuestion = false;
  let isStream = false;
  let work: (() => Promise<Response>) | undefined;

  const settleWhole = async (response: Response): Promise<Response> => {
    let answer: Answer;
    try {
      answer = await readAnswer(response);
    } catch (error) {
      return await fail(error);
    }
    const responded = await attempt.respond(answer, !isQuestion);
    if (responded.as === "replayed") return replayResponse(responded.answer);
    return firstResponse(response, answer.body, responded.as === "stored");
  };

  const settleStream = (
    response: Response,
    body: ReadableStream<Uint8Array>,
  ): Response => {
    const { status } = response;
    const headers = outcomeHeaders(response.headers);
    const passed = passThrough(body, {
      ended: async (bytes) => {
        const answer = { status, headers, body: bytes };
        const { as } = await attempt.respond(answer, !isQuestion);
        // What was sent is not what retries get: it must not look complete.
        if (as === "replayed") throw new LeaseLostError(attempt.key!);
      },
      aborted: async (reason) => void await attempt.fail(reason),
    });
    return firstResponse(response, passed, false);
  };

  const finish = async (work: () => Promise<Response>): Promise<void> => {
    let isSettled = false;
    try {
      const answer = await readAnswer(await work());
      isSettled = true;
      const { as } = await attempt.respond(answer, !isQuestion, true);
      if (as === "stored") await attempt.notify();
    } catch (error) {
      platform.log(`The background part of "${scope}" failed:`, error);
      // Nobody is left to be told of an answer that another attempt recorded.
      if (!isSettled) await attempt.fail(error).catch(() => {});
    }
  };

  const fail = async (error: unknown): Promise<Response> => {
    const recorded = await attempt.fail(error);
    if (recorded !== null) return replayResponse(recorded);
    throw error;
  };

  return {
    context: {
      key: attempt.key,
      scope,
      attempt: attempt.number,
      fence: attempt.fence,
      get signal() {
        return attempt.signal;
      },
      get step() {
        return attempt.step;
      },
      get effectKey() {
        return attempt.effectKey;
      },
      notFinal(response) {
        isQuestion = true;
        return response;
      },
      finishLater(accepted, background) {
        if (work !== undefined) {
          throw new TypeError(
            "Cannot finish this request later twice: the first work would be left out, put both into one",
          );
        }
        work = background;
        return accepted;
      },
      streamed(response) {
        isStream = true;
        return response;
      },
    },
    async settle(response) {
      if (work !== undefined) {
        try {
          // Begun now, it would run beside whoever has the key.
          await attempt.assertHeld();
        } catch (error) {
          return await fail(error);
        }
        platform.waitUntil(finish(work));
      }
      // Without a key a response passes as it is.
      if (attempt.key === null) return response;
      if (work !== undefined) {
        return firstResponse(response, response.body, false);
      }
      try {
        const { body } = response;
        if (body !== null && (isStream || isEventStream(response))) {
          return settleStream(response, body);
        }
      } catch (error) {
        // A body that is locked, or no response at all.
        return await fail(error);
      }
      return await settleWhole(response);
    },
    fail,
  };
}

function isEventStream(response: Response): boolean {
  const type = response.headers.get("content-type") ?? "";
  return /^text\/event-stream\b/i.test(type);
}
