import type { IdempotencyConfig } from "./config.ts";
import { resolveConfig } from "./config.ts";
import { unprotectedEffectKey } from "./effect_key.ts";
import { IdempotencyError } from "./errors.ts";
import { fingerprintValue } from "./fingerprint.ts";
import { assertIdempotencyKey } from "./key.ts";
import type { Answer, Ledger } from "./ledger.ts";
import { problemOf, problemResponse } from "./problem.ts";
import { begin, type Begun, type Run } from "./run.ts";
import { unprotectedStep } from "./steps.ts";
import { type LedgerClient, supabaseLedger } from "./supabase_ledger.ts";

/** Whose operation this is, and under which key. */
export interface OperationContext extends Omit<IdempotencyConfig, "key"> {
  /** The caller's Supabase client, or the secret key's. */
  supabase?: LedgerClient | undefined;
  /** A ledger of your own, in place of `supabase`. */
  store?: Ledger | undefined;
  /** The verified user; `null` for the project itself. */
  userId: string | null;
  /** The route or operation: part of the key's identity. */
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
export type OperationRun = Pick<
  Run,
  "attempt" | "effectKey" | "fence" | "signal" | "step"
>;

const UNPROTECTED: OperationRun = {
  attempt: 0,
  effectKey: unprotectedEffectKey,
  fence: 0,
  signal: new AbortController().signal,
  step: unprotectedStep,
};

/** What an operation answers, in the terms of HTTP. */
export interface OperationResult<Body = unknown> {
  /** HTTP status, 200–599. */
  status: number;
  /** Any JSON value. */
  body: Body;
  /** Headers to keep with the answer. */
  headers?: Record<string, string>;
}

/** What the plain-operation form gives back. */
export interface OperationOutcome<Body> extends OperationResult<Body> {
  /** Headers to answer with: the operation's and the contract's. */
  headers: Record<string, string>;
  /** Whether this is the recorded answer of an earlier run. */
  replayed: boolean;
}

/**
 * Runs an operation once for each key, without HTTP. A refusal (in progress,
 * another payload, …) comes back as its status with the problem document as
 * body, so that it can be passed on.
 */
export async function runOperation<Body>(
  context: OperationContext,
  operation: (
    run: OperationRun,
  ) => Promise<OperationResult<Body>>,
): Promise<OperationOutcome<Body>> {
  const { supabase, store, userId, route, key, payload, ...options } = context;
  if (key === null) return ranOnce(await operation(UNPROTECTED));
  const config = resolveConfig(options);
  const ledger = ledgerOf(supabase, store);

  let begun: Begun;
  try {
    assertIdempotencyKey(key, "The key of this operation");
    begun = await begin({
      ledger,
      identity: { userId, scope: config.scope ?? route, key },
      fingerprint: await fingerprintValue([route, payload ?? null]),
      config,
    });
  } catch (error) {
    return await refusal(error);
  }
  if (begun.kind === "unprotected") {
    return ranOnce(await operation(UNPROTECTED));
  }
  if (begun.kind === "replay") return replayOf(begun.answer);

  const { run } = begun;
  let result: OperationResult<Body>;
  let answer: Answer;
  let isFinal: boolean;
  try {
    result = await operation(run);
    answer = answerOf(result);
    isFinal = config.isFinal(result.status);
  } catch (error) {
    const recorded = await run.fail(error);
    if (recorded !== null) return replayOf(recorded);
    throw error;
  }
  try {
    const { as, answer: given } = await run.finish(answer, isFinal);
    if (as === "replayed") return replayOf(given);
    return ranOnce(result, as === "stored");
  } catch (error) {
    return await refusal(error);
  }
}

/**
 * The ledger that a context names.
 *
 * @throws {TypeError} When it names none.
 */
export function ledgerOf(
  supabase: LedgerClient | undefined,
  store: Ledger | undefined,
): Ledger {
  const ledger = store ?? (supabase && supabaseLedger(supabase));
  if (ledger !== undefined) return ledger;
  throw new TypeError(
    "Cannot run the operation once: neither supabase nor store was given",
  );
}

function ranOnce<Body>(
  result: OperationResult<Body>,
  stored = false,
): OperationOutcome<Body> {
  const headers = { ...result.headers };
  if (stored) headers["X-Idempotency-Stored"] = "true";
  return { ...result, headers, replayed: false };
}

function answerOf({ status, headers, body }: OperationResult): Answer {
  const text = JSON.stringify(body);
  return {
    status,
    headers: { ...headers },
    body: new TextEncoder().encode(text ?? ""),
  };
}

function replayOf<Body>(answer: Answer): OperationOutcome<Body> {
  const text = new TextDecoder().decode(answer.body ?? undefined);
  return {
    status: answer.status,
    headers: { ...answer.headers, "X-Idempotency-Replay": "true" },
    body: text === "" ? undefined as Body : JSON.parse(text),
    replayed: true,
  };
}

async function refusal<Body>(error: unknown): Promise<OperationOutcome<Body>> {
  if (!(error instanceof IdempotencyError)) throw error;
  const response = problemResponse(problemOf(error));
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.json(),
    replayed: false,
  };
}
