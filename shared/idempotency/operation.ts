import {
  type Attempt,
  type KeptAnswer,
  unprotectedAttempt,
} from "./attempt.ts";
import { textOrBase64 } from "./body.ts";
import { type Begun, claim } from "./claim.ts";
import {
  checkedMetadata,
  type IdempotencyConfig,
  isScope,
  OF_REQUESTS,
  resolveConfig,
  type ResolvedConfig,
} from "./config.ts";
import { isToBeWarned } from "./enforcement.ts";
import { IdempotencyError } from "./errors.ts";
import { fingerprintValue } from "./fingerprint.ts";
import { assertIdempotencyKey } from "./key.ts";
import type { Answer, Identity, Ledger } from "./ledger.ts";
import { type Problem, problemOf, problemResponse } from "./problem.ts";
import { assertStatus, expose, toResponse } from "./response.ts";
import { type LedgerClient, supabaseLedger } from "./supabase_ledger.ts";

/**
 * The options that a plain operation honours: all but those that read a
 * request, in whose place `route`, `key`, `payload` and `userId` are given.
 */
export interface OperationConfig extends
  Omit<
    IdempotencyConfig,
    typeof OF_REQUESTS[number] | "metadata" | "scope"
  > {
  /**
   * What to keep with the key, for people: JSON of at most 2 KB. A later
   * attempt's is added to it.
   */
  metadata?: Record<string, unknown> | undefined;
}

/** Whose operation this is, and under which key. */
export interface OperationContext extends OperationConfig {
  /**
   * The secret key's Supabase client, or a ledger.
   *
   * @default {"`store`, else the ledger that `setDefaultLedger` was given"}
   */
  supabase?: LedgerClient | Ledger | undefined;
  /** The verified user; `null` for the project itself. */
  userId: string | null;
  /** The route or operation: part of the key's identity, 1–200 characters. */
  route: string;
  /** The key; with `null` the operation runs as if it were not wrapped. */
  key: string | null;
  /**
   * What was asked for, as JSON: the same key with another payload is refused.
   *
   * @default {null}
   */
  payload?: unknown;
}

/** What an operation is told about its run. */
export interface OperationRun
  extends Pick<Attempt, "effectKey" | "fence" | "signal" | "step"> {
  /** Which run of the key this is, from 1; 0 without a key. */
  readonly attempt: number;
}

/** What an operation answers, in the terms of HTTP. */
export interface OperationResult<Body = unknown> {
  /** HTTP status, 200–599. */
  status: number;
  /** Any JSON value. */
  body: Body;
  /** Headers to keep with the answer. */
  headers?: Record<string, string> | undefined;
}

/** What the plain-operation form gives back. */
export interface OperationOutcome<Body> extends OperationResult<Body> {
  /** Headers to answer with: the operation's and the contract's. */
  headers: Record<string, string>;
  /** Whether this is the recorded answer of an earlier run. */
  replayed: boolean;
}

let defaultLedger: Ledger | undefined;

/**
 * Sets the ledger of operations that name none, once for the worker.
 *
 * @param ledger The secret key's Supabase client, or a ledger.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLedger } from "./memory_ledger.ts";
 * import { runOperation, setDefaultLedger } from "./operation.ts";
 *
 * setDefaultLedger(memoryLedger());
 * const { status } = await runOperation(
 *   { userId: "u1", route: "orders", key: "order-17" },
 *   () => Promise.resolve({ status: 201, body: null }),
 * );
 * assertEquals(status, 201);
 * ```
 */
export function setDefaultLedger(ledger: LedgerClient | Ledger): void {
  defaultLedger = ledgerOf(ledger);
}

/** The ledger itself, or that of a client. */
export function ledgerOf(supabase: LedgerClient | Ledger): Ledger {
  return "rpc" in supabase ? supabaseLedger(supabase) : supabase;
}

/** How keys are treated, apart from what says whose operation this is. */
export function operationConfig(context: OperationContext): ResolvedConfig {
  const { userId: _user, route, key: _key, ...rest } = context;
  const { payload: _payload, supabase: _supabase, ...options } = rest;
  const wanted = isScope(route);
  if (wanted !== null) {
    throw new TypeError(
      `Cannot run the operation once: route: expected ${wanted}`,
    );
  }
  return resolveConfig(options, [...OF_REQUESTS, "scope"]);
}

/**
 * The ledger of an operation.
 *
 * @throws {TypeError} When none was given.
 */
export function operationLedger(
  { store, supabase }: Pick<OperationContext, "store" | "supabase">,
): Ledger {
  const ledger = store ?? (supabase && ledgerOf(supabase)) ?? defaultLedger;
  if (ledger !== undefined) return ledger;
  throw new TypeError(
    "Cannot run the operation once: no ledger was given, pass supabase or store, or call setDefaultLedger",
  );
}

/**
 * Claims the key of an operation, whichever form it has.
 *
 * @param keepAlive As in {@link claim}.
 */
export async function claimOperation(
  ledger: Ledger,
  identity: Identity,
  payload: unknown,
  config: ResolvedConfig,
  keepAlive = true,
): Promise<Begun> {
  const { metadata } = config;
  return await claim(ledger, identity, {
    fingerprint: await fingerprintValue([identity.scope, payload ?? null]),
    config,
    metadata: metadata === undefined
      ? null
      : checkedMetadata(metadata as Record<string, unknown>),
    keepAlive,
  });
}

/**
 * Runs an operation once for each key, without HTTP. A refusal (in progress,
 * another payload, …) comes back as its status with the problem document as
 * body, so that it can be passed on.
 *
 * @param inTurn Begins the work once its turn has come. @default {at once}
 */
export async function runOperation<Body>(
  context: OperationContext,
  operation: (run: OperationRun) => Promise<OperationResult<Body>>,
  inTurn?: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<OperationOutcome<Body>> {
  const { userId, route, key, payload } = context;
  const config = operationConfig(context);
  let begun: Begun;
  const marks: Record<string, string> = {};
  try {
    if (key === null) {
      if (isToBeWarned(route, config.enforcement, config.onEvent)) {
        marks["X-Idempotency-Missing"] = "true";
      }
      begun = { kind: "attempt", attempt: unprotectedAttempt() };
    } else {
      assertIdempotencyKey(key, "The key");
      const identity = { userId, scope: route, key };
      const ledger = operationLedger(context);
      begun = await claimOperation(ledger, identity, payload, config);
    }
  } catch (error) {
    return await refusal(error);
  }
  if (begun.kind === "answer") return replayOf(begun.answer);

  const { attempt } = begun;
  let result: OperationResult<Body>;
  let answer: Answer;
  try {
    const run = runOf(attempt);
    result = await (inTurn === undefined ? operation(run) : inTurn(async () => {
      // Meanwhile the key may have passed to somebody else.
      run.signal.throwIfAborted();
      await attempt.assertHeld();
      return await operation(run);
    }));
    answer = answerOf(result);
  } catch (error) {
    return await attempt.fail(error).then((recorded) => {
      if (recorded === null) throw error;
      return replayOf<Body>(recorded);
    }, refusal<Body>);
  }
  try {
    const { as, answer: given } = await attempt.respond(answer);
    if (as === "replayed") return replayOf(given);
    if (as === "stored") marks["X-Idempotency-Stored"] = "true";
    return {
      ...result,
      headers: { ...result.headers, ...marks },
      replayed: false,
    };
  } catch (error) {
    return await refusal(error);
  }
}

/**
 * Turns what an operation answered into a `Response`, so that
 * `return operationResponse(await withIdempotency(…))` ends a handler.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { operationResponse } from "./operation.ts";
 *
 * const response = operationResponse({
 *   status: 201,
 *   body: { order: 1 },
 *   headers: {},
 *   replayed: false,
 * });
 * assertEquals(response.headers.get("content-type"), "application/json");
 * assertEquals(await response.json(), { order: 1 });
 * ```
 */
export function operationResponse(
  outcome: OperationOutcome<unknown>,
): Response {
  const { status, headers, body } = answerOf(outcome);
  const response = toResponse({ status, headers, body });
  if (response.body !== null && !response.headers.has("content-type")) {
    response.headers.set("content-type", "application/json");
  }
  return expose(response);
}

function runOf(attempt: Attempt): OperationRun {
  return {
    attempt: attempt.number,
    fence: attempt.fence,
    get effectKey() {
      return attempt.effectKey;
    },
    get signal() {
      return attempt.signal;
    },
    get step() {
      return attempt.step;
    },
  };
}

const encoder = new TextEncoder();

function answerOf({ status, headers, body }: OperationResult): Answer {
  assertStatus(status);
  return {
    status,
    headers: headers === undefined ? {} : { ...headers },
    body: encoder.encode(JSON.stringify(body) ?? ""),
  };
}

function replayOf<Body>(answer: KeptAnswer): OperationOutcome<Body> {
  return {
    status: answer.status,
    headers: { ...answer.headers, "X-Idempotency-Replay": "true" },
    body: bodyOf(textOrBase64(answer.body)) as Body,
    replayed: true,
  };
}

/** What is no JSON was recorded by a single call, or by an operator. */
function bodyOf(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return text;
  }
}

async function refusal<Body>(error: unknown): Promise<OperationOutcome<Body>> {
  if (!(error instanceof IdempotencyError)) throw error;
  return await problemOutcome(problemOf(error));
}

/** The outcome that a problem document is. */
export async function problemOutcome<Body>(
  problem: Problem,
): Promise<OperationOutcome<Body>> {
  const response = problemResponse(problem);
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.json(),
    replayed: false,
  };
}
