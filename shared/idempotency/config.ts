import { type Enforcement, MODES } from "./enforcement.ts";
import type { IdempotencyEvent } from "./event.ts";
import { KEPT_CHARACTER, keptJson, type Ledger } from "./ledger.ts";

/**
 * How a route treats keys. Every field is optional; the same object configures
 * the middleware, the plain operation and the single calls.
 */
export interface IdempotencyConfig {
  /**
   * The route or operation that the key belongs to, 1–200 characters. A
   * function makes it of the request, for instance with the organisation in it
   * where one user acts for several; only requests have it, operations name
   * their `route`.
   *
   * @default {"the function's name, from the request's path"}
   */
  scope?: string | ScopeOf | undefined;
  /**
   * What a POST, PUT or PATCH without a key gets: `"optional"` runs it,
   * `"warn"` runs it and answers with `X-Idempotency-Missing: true`,
   * `"required"` refuses it with 400 `IDEMPOTENCY_KEY_MISSING`. The environment
   * overrides it: `IDEMPOTENCY_ENFORCEMENT` is one of these for all scopes, or
   * `scope=mode` for some, separated by commas.
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
   * Seconds without a heartbeat before an attempt counts as crashed, 1–3600.
   * The heartbeat comes at a third of it, for as long as the attempt runs.
   *
   * @default {30}
   */
  leaseSeconds?: number | undefined;
  /**
   * How long an attempt may run, in seconds, 1–86400. Past it the lease is
   * renewed no more and `signal` aborts: a handler that hangs does not keep its
   * key for ever.
   *
   * @default {400}
   */
  maxRunSeconds?: number | undefined;
  /**
   * After so many crashed attempts in a row, 1–100, the key is parked with 409
   * `OUTCOME_UNKNOWN`, whatever `onAbandoned` says: a request that kills its
   * worker does not do so for ever.
   *
   * @default {5}
   */
  maxAttempts?: number | undefined;
  /**
   * How long a key is kept, in seconds from its claim, 1 s to 365 days; one
   * number, or one for each outcome. One without an outcome, such as a stuck
   * key, is kept as a completed one.
   *
   * @default {86400}
   */
  ttlSeconds?:
    | number
    | { completed?: number | undefined; failed?: number | undefined }
    | undefined;
  /**
   * What to do when the ledger is out of reach: `"reject"` answers 503
   * `LEDGER_UNAVAILABLE`, `"run"` runs the request unprotected. Its `effectKey`
   * is that of every other attempt, so a provider or a unique column that knows
   * the effect by it still stops a second one.
   *
   * @default {"reject"}
   */
  onLedgerDown?: "reject" | "run" | undefined;
  /**
   * Where keys are kept.
   *
   * @default {"the pipeline's Postgres client (`postgresAdmin`), else the secret key's Supabase client"}
   */
  store?: Ledger | undefined;
  /**
   * Who shares keys where the caller is no user: `"refuse"` answers 403
   * `CALLER_UNKNOWN`, `"project"` puts all such callers into one space of keys.
   * Whoever holds the secret key is the project anyway.
   *
   * @default {"refuse"}
   */
  callers?: "refuse" | "project" | undefined;
  /**
   * Whose key it is: the id of the user whom the request's token names, `null`
   * for who is none. It must come from a verified token, as `verifiedUser` and
   * the claims in `ctx` do, and from nothing else of the request. Where
   * colleagues share keys it is their organisation, as `` `org:${id}` ``: an id
   * alone would be taken for an account's.
   *
   * @default {"the user of `withSupabase`"}
   */
  user?: UserOf | undefined;
  /**
   * Whether users belong to another issuer than this project's Auth (Clerk,
   * Cognito, …), so that an id that is a UUID names no account here. Otherwise
   * a user whose account is gone is refused with 403 `ACCOUNT_GONE`.
   *
   * @default {false}
   */
  thirdPartyAuth?: boolean | undefined;
  /**
   * Replaces the fingerprint of a request; see `fingerprintRequest`. The
   * string may be anything that is the same for retries and differs otherwise.
   */
  fingerprint?: ((req: Request) => string | Promise<string>) | undefined;
  /**
   * Replaces the place that the key is read from; `null` is no key. What is in
   * the body is read from a clone, `req.clone()`: the handler needs the body.
   */
  key?:
    | ((req: Request) => string | null | Promise<string | null>)
    | undefined;
  /**
   * Replaces the rule which answers are final: recorded and replayed. The rest
   * counts as failed and may run again.
   *
   * @default {"below 500, but not 401, 403, 408, 409, 425, 429"}
   */
  isFinal?: ((status: number) => boolean | Promise<boolean>) | undefined;
  /**
   * Whether the body of a final answer is kept. Where it is not, such as a
   * secret that is shown once, a retry is told 409 `RESPONSE_NOT_STORED` with
   * the status and the `Location` of the first answer.
   *
   * @default {"up to 4 MiB"}
   */
  keepBody?: ((response: Response) => boolean | Promise<boolean>) | undefined;
  /**
   * What to keep with the key, for people: JSON of at most 2 KB, for instance the
   * id of the trace under which it runs. A later attempt's is added to it. A
   * function reads the body from a clone.
   */
  metadata?:
    | Record<string, unknown>
    | ((
      req: Request,
    ) => Record<string, unknown> | Promise<Record<string, unknown>>)
    | undefined;
  /**
   * Told what became of each request. It is not awaited, and what it throws is
   * logged.
   */
  onEvent?: ((event: IdempotencyEvent) => void) | undefined;
}

/** What only a request can honour: in other forms its place is taken. */
export const OF_REQUESTS = ["callers", "fingerprint", "key", "user"] as const;

/** Makes the scope of a request; see {@link IdempotencyConfig.scope}. */
export type ScopeOf = (
  req: Request,
  // deno-lint-ignore no-explicit-any -- each pipeline has a context of its own
  ctx: any,
) => string | Promise<string>;

/** Says whose key a request has; see {@link IdempotencyConfig.user}. */
export type UserOf = (
  req: Request,
  // deno-lint-ignore no-explicit-any -- each pipeline has a context of its own
  ctx: any,
) => string | null | Promise<string | null>;

/** {@link IdempotencyConfig} with every default filled in. */
export interface ResolvedConfig {
  readonly scope: IdempotencyConfig["scope"];
  readonly enforcement: Enforcement;
  readonly onConcurrent: "reject" | "wait";
  readonly waitSeconds: number;
  readonly onAbandoned: "retry" | "refuse";
  readonly leaseSeconds: number;
  readonly maxRunSeconds: number;
  readonly maxAttempts: number;
  readonly ttlSeconds: { readonly completed: number; readonly failed: number };
  readonly onLedgerDown: "reject" | "run";
  readonly store: Ledger | undefined;
  readonly callers: "refuse" | "project";
  readonly user: IdempotencyConfig["user"];
  readonly thirdPartyAuth: boolean;
  readonly fingerprint: IdempotencyConfig["fingerprint"];
  readonly key: IdempotencyConfig["key"];
  readonly isFinal: IdempotencyConfig["isFinal"];
  readonly keepBody: IdempotencyConfig["keepBody"];
  readonly metadata: IdempotencyConfig["metadata"];
  readonly onEvent: IdempotencyConfig["onEvent"];
}

// A crash goes unnoticed for this long, so it is short. It is not shorter
// because a handler may keep the event loop to itself for the 2 s of CPU time
// that the platform grants, and a renewal may need several tries: the renewal
// after it still comes in time.
const DEFAULT_LEASE_SECONDS = 30;

// The longest wall clock that Supabase grants a worker: 400 s on paid plans
// (supabase.com/docs/guides/functions/limits).
const DEFAULT_MAX_RUN_SECONDS = 400;

// A day covers a client that was offline overnight; it is also what the
// providers of payment APIs grant.
const DEFAULT_TTL_SECONDS = 86_400;

// The gateway in front of hosted functions gives up on an idle request after
// 150 s; past 120 s a waiting duplicate would be cut off instead of answered.
const MAX_WAIT_SECONDS = 120;

const MAX_TTL_SECONDS = 365 * 86_400;

const METADATA_MAX_BYTES = 2_048;

/** Says what a value should have been; `null` where it is that. */
type Rule = (value: unknown) => string | null;

const integer = (least: number, most: number): Rule => (value) =>
  Number.isInteger(value) && (value as number) >= least &&
    (value as number) <= most
    ? null
    : `an integer from ${least} to ${most}`;

const oneOf = (...choices: string[]): Rule => (value) =>
  choices.includes(value as string)
    ? null
    : choices.map((choice) => `"${choice}"`).join(" or ");

const isFunction: Rule = (value) =>
  typeof value === "function" ? null : "a function";

const SCOPE = new RegExp(`^${KEPT_CHARACTER}{1,200}$`, "u");

/** The rule for a scope, and for the route of an operation, which is one. */
export const isScope: Rule = (value) =>
  typeof value === "string" && SCOPE.test(value) ? null : "1 to 200 characters";

const ttl = integer(1, MAX_TTL_SECONDS);

const either = (...rules: Rule[]): Rule => (value) => {
  const wanted = rules.map((rule) => rule(value));
  return wanted.includes(null) ? null : wanted.join(", or ");
};

const isRecord: Rule = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? null
    : "an object";

const RULES: Record<keyof IdempotencyConfig, Rule> = {
  scope: either(isScope, isFunction),
  enforcement: oneOf(...MODES),
  onConcurrent: oneOf("reject", "wait"),
  waitSeconds: (value) =>
    typeof value === "number" && value >= 1 && value <= MAX_WAIT_SECONDS
      ? null
      : `a number from 1 to ${MAX_WAIT_SECONDS}`,
  onAbandoned: oneOf("retry", "refuse"),
  leaseSeconds: integer(1, 3600),
  maxRunSeconds: integer(1, 86_400),
  maxAttempts: integer(1, 100),
  ttlSeconds: either(
    ttl,
    (value) =>
      isRecord(value) ?? Object.entries(value as object)
        .map(([name, seconds]) =>
          name !== "completed" && name !== "failed"
            ? "{ completed, failed } and nothing else"
            : seconds === undefined
            ? null
            : ttl(seconds)
        )
        .find((wanted) => wanted !== null) ??
        null,
  ),
  onLedgerDown: oneOf("reject", "run"),
  store: (value) =>
    isRecord(value) === null && "claim" in (value as object) &&
      "complete" in (value as object)
      ? null
      : "a Ledger",
  callers: oneOf("refuse", "project"),
  user: isFunction,
  thirdPartyAuth: (value) => typeof value === "boolean" ? null : "a boolean",
  fingerprint: isFunction,
  key: isFunction,
  isFinal: isFunction,
  keepBody: isFunction,
  metadata: either(isRecord, isFunction),
  onEvent: isFunction,
};

/**
 * Checks a configuration and fills in the defaults.
 *
 * @param unusable Fields that the form at hand cannot honour: a key that is
 * given cannot also be read from a request.
 * @throws {TypeError} When a field is unknown, unusable or out of range; the
 * message names each.
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
export function resolveConfig(
  config: IdempotencyConfig = {},
  unusable: readonly (keyof IdempotencyConfig)[] = [],
): ResolvedConfig {
  const wrong: string[] = [];
  for (const name in config) {
    const value = config[name as keyof IdempotencyConfig];
    if (value === undefined) continue;
    const rule = Object.hasOwn(RULES, name)
      ? RULES[name as keyof IdempotencyConfig]
      : () => "no such field";
    const wanted = unusable.includes(name as keyof IdempotencyConfig)
      ? "left out in this form"
      : rule(value);
    if (wanted !== null) wrong.push(`${name}: expected ${wanted}`);
  }
  if (wrong.length > 0) {
    throw new TypeError(
      `Cannot use the idempotency configuration: ${wrong.join("; ")}`,
    );
  }
  const seconds = config.ttlSeconds;
  const {
    completed = DEFAULT_TTL_SECONDS,
    failed = DEFAULT_TTL_SECONDS,
  } = typeof seconds === "number"
    ? { completed: seconds, failed: seconds }
    : seconds ?? {};
  return {
    scope: config.scope,
    enforcement: config.enforcement ?? "optional",
    onConcurrent: config.onConcurrent ?? "reject",
    waitSeconds: config.waitSeconds ?? 10,
    onAbandoned: config.onAbandoned ?? "retry",
    leaseSeconds: config.leaseSeconds ?? DEFAULT_LEASE_SECONDS,
    maxRunSeconds: config.maxRunSeconds ?? DEFAULT_MAX_RUN_SECONDS,
    maxAttempts: config.maxAttempts ?? 5,
    ttlSeconds: { completed, failed },
    onLedgerDown: config.onLedgerDown ?? "reject",
    store: config.store,
    callers: config.callers ?? "refuse",
    user: config.user,
    thirdPartyAuth: config.thirdPartyAuth ?? false,
    fingerprint: config.fingerprint,
    key: config.key,
    isFinal: config.isFinal,
    keepBody: config.keepBody,
    metadata: config.metadata,
    onEvent: config.onEvent,
  };
}

/**
 * What a route wants kept with a key, as the ledger can keep it.
 *
 * @throws {TypeError} When it is no JSON object, or too long. Nothing has run.
 */
export function checkedMetadata(
  metadata: Record<string, unknown>,
): Record<string, unknown> {
  if (isRecord(metadata) !== null) {
    throw new TypeError(
      "Cannot keep the metadata of this route: it is no object",
    );
  }
  let text: string;
  try {
    text = JSON.stringify(metadata);
  } catch (cause) {
    throw new TypeError(
      "Cannot keep the metadata of this route: it has no JSON form",
      { cause },
    );
  }
  // Of the bytes that UTF-8 needs, a code unit takes three at most.
  const length = text.length * 3 <= METADATA_MAX_BYTES
    ? 0
    : new TextEncoder().encode(text).length;
  // For people, so what no database can hold is shown as missing.
  if (length <= METADATA_MAX_BYTES) return JSON.parse(keptJson(text));
  throw new TypeError(
    `Cannot keep the metadata of this route: it has ${length} bytes as JSON, more than ${METADATA_MAX_BYTES}`,
  );
}
