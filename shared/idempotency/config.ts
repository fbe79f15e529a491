import { z } from "./deps.ts";
import type { Enforcement } from "./enforcement.ts";
import type { IdempotencyEvent } from "./event.ts";
import type { SharedLock } from "./shared_lock.ts";

/**
 * How a route treats keys. Every field is optional; the same object configures
 * the middleware, the plain-operation form and the single calls.
 */
export interface IdempotencyConfig {
  /**
   * The route or operation that the key belongs to, 1–200 characters.
   *
   * @default {"the function's name, from the request's path"}
   */
  scope?: string | undefined;
  /**
   * What a POST, PUT or PATCH without a key gets: `"optional"` runs it,
   * `"warn"` runs it and answers with `X-Idempotency-Missing: true`,
   * `"required"` refuses it with 400 `IDEMPOTENCY_KEY_MISSING`. The environment
   * overrides it: `IDEMPOTENCY_ENFORCEMENT`, see `parseEnforcement`.
   *
   * @default {"optional"}
   */
  enforcement?: Enforcement | undefined;
  /**
   * What a duplicate of a running request gets: `"reject"` answers 409
   * `REQUEST_IN_PROGRESS` at once, `"wait"` polls for `waitSeconds` first.
   *
   * @default {"reject"}
   */
  onConcurrent?: "reject" | "wait" | undefined;
  /**
   * How long `onConcurrent: "wait"` waits, in seconds, 1–120.
   *
   * @default {10}
   */
  waitSeconds?: number | undefined;
  /**
   * What a request gets whose key an interrupted attempt left behind:
   * `"retry"` runs it again, `"refuse"` answers 409 `OUTCOME_UNKNOWN`.
   *
   * @default {"retry"}
   */
  onAbandoned?: "retry" | "refuse" | undefined;
  /**
   * How long an attempt may go unheard of before others take it for crashed,
   * in seconds, 1–3600. It is renewed while the attempt runs, at a third.
   *
   * @default {30}
   */
  leaseSeconds?: number | undefined;
  /**
   * How long a key is kept, in seconds from its claim, 1 s to 365 days; one
   * number, or one for each outcome.
   *
   * @default {86400}
   */
  ttlSeconds?:
    | number
    | { completed?: number | undefined; failed?: number | undefined }
    | undefined;
  /**
   * What to do when the ledger is out of reach: `"reject"` answers 503
   * `LEDGER_UNAVAILABLE`, `"run"` runs the request unprotected.
   *
   * @default {"reject"}
   */
  onLedgerDown?: "reject" | "run" | undefined;
  /**
   * Who calls the ledger: `"user"`, the caller, so that the database isolates
   * users even if this code errs; `"admin"`, the secret key.
   *
   * @default {"user"}
   */
  ledger?: "user" | "admin" | undefined;
  /**
   * Replaces the fingerprint of a request; see `fingerprintRequest`. The
   * string may be anything that is the same for retries and differs otherwise.
   */
  fingerprint?: ((req: Request) => string | Promise<string>) | undefined;
  /** Replaces the place that the key is read from. */
  key?:
    | ((req: Request) => string | null | Promise<string | null>)
    | undefined;
  /**
   * Replaces the rule which answers are final: recorded and replayed. The rest
   * counts as failed and may run again.
   *
   * @default {"below 500, but not 401, 403, 408, 409, 425, 429"}
   */
  isFinal?: ((status: number) => boolean) | undefined;
  /** Asked before the ledger who runs a key, by those who run Redis. */
  sharedLock?: SharedLock | undefined;
  /**
   * What to keep with the key, for people: JSON of at most 2 KB, for instance the
   * id of the trace under which it runs. A later attempt's is added to it.
   */
  metadata?:
    | ((
      req: Request,
    ) => Record<string, unknown> | Promise<Record<string, unknown>>)
    | undefined;
  /** Told what became of each request. It must not throw and is not awaited. */
  onEvent?: ((event: IdempotencyEvent) => void) | undefined;
}

// A crash goes unnoticed for this long, so it is short. It is not shorter
// because a handler may keep the event loop to itself for the 2 s of CPU time
// that the platform grants, and a renewal may need its three tries of 4 s: the
// renewal after it still comes in time.
const DEFAULT_LEASE_SECONDS = 30;

// A day covers a client that was offline overnight; it is also what the
// providers of payment APIs grant.
const DEFAULT_TTL_SECONDS = 86_400;

// The gateway in front of hosted functions gives up on an idle request after
// 150 s; past 120 s a waiting duplicate would be cut off instead of answered.
const MAX_WAIT_SECONDS = 120;

// Answers about the moment, not about the effect (DESIGN, "The HTTP contract").
const MOMENTARY = new Set([401, 403, 408, 409, 425, 429]);

const ttl = z.int().min(1).max(365 * 86_400);

const schema = z.strictObject({
  scope: z.string().min(1).max(200).optional(),
  enforcement: z.enum(["optional", "warn", "required"]).default("optional"),
  onConcurrent: z.enum(["reject", "wait"]).default("reject"),
  waitSeconds: z.number().min(1).max(MAX_WAIT_SECONDS).default(10),
  onAbandoned: z.enum(["retry", "refuse"]).default("retry"),
  leaseSeconds: z.int().min(1).max(3600).default(DEFAULT_LEASE_SECONDS),
  ttlSeconds: z.union([
    ttl.transform((seconds) => ({ completed: seconds, failed: seconds })),
    z.strictObject({
      completed: ttl.default(DEFAULT_TTL_SECONDS),
      failed: ttl.default(DEFAULT_TTL_SECONDS),
    }),
  ]).default({ completed: DEFAULT_TTL_SECONDS, failed: DEFAULT_TTL_SECONDS }),
  onLedgerDown: z.enum(["reject", "run"]).default("reject"),
  ledger: z.enum(["user", "admin"]).default("user"),
  fingerprint: functionOf<(req: Request) => string | Promise<string>>(),
  key: functionOf<(req: Request) => string | null | Promise<string | null>>(),
  isFinal: functionOf<(status: number) => boolean>()
    .default(() => isFinalStatus),
  sharedLock: z.custom<SharedLock>(isSharedLock, {
    error: "expected holder(), hold() and release()",
  }).optional(),
  metadata: functionOf<
    (req: Request) => Record<string, unknown> | Promise<Record<string, unknown>>
  >(),
  onEvent: functionOf<(event: IdempotencyEvent) => void>(),
});

/** {@link IdempotencyConfig} with every default filled in. */
export type ResolvedConfig = z.output<typeof schema>;

/**
 * Checks a configuration and fills in the defaults.
 *
 * @throws {TypeError} When a field is unknown or out of range; the message
 * names each.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { resolveConfig } from "./config.ts";
 *
 * assertEquals(resolveConfig({ ttlSeconds: 60 }).ttlSeconds.failed, 60);
 * assertThrows(() => resolveConfig({ leaseSeconds: 0 }), TypeError);
 * ```
 */
export function resolveConfig(config: IdempotencyConfig = {}): ResolvedConfig {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  throw new TypeError(
    `Cannot use the idempotency configuration: ${
      z.prettifyError(parsed.error)
    }`,
  );
}

/** The default of `isFinal`. */
export function isFinalStatus(status: number): boolean {
  return status < 500 && !MOMENTARY.has(status);
}

function isSharedLock(value: unknown): boolean {
  return typeof value === "object" && value !== null && "holder" in value &&
    "hold" in value && "release" in value;
}

function functionOf<F>() {
  return z.custom<F>((value) => typeof value === "function", {
    error: "expected a function",
  }).optional();
}
