import { resolveConfig } from "./config.ts";
import { canonicalize, pLimit } from "./deps.ts";
import { gatherCalls } from "./gathered_calls.ts";
import {
  ledgerOf,
  type OperationContext,
  type OperationOutcome,
  type OperationResult,
  type OperationRun,
  runOperation,
} from "./operation.ts";
import { problemResponse } from "./problem.ts";

/** One operation of a batch. */
export interface BatchItem<Input> {
  /** Its key. */
  readonly key: string;
  /**
   * What was asked for, as JSON: the same key with another payload is refused.
   *
   * @default {null}
   */
  readonly payload?: unknown;
  /** What the operation works on. */
  readonly input: Input;
}

/** Whose operations these are, and under which keys. */
export interface BatchContext<Input>
  extends Omit<OperationContext, "key" | "payload"> {
  /** The operations; any number of them. */
  items: readonly BatchItem<Input>[];
  /**
   * How many operations run at once.
   *
   * @default {10}
   */
  concurrency?: number | undefined;
}

/** What became of one operation of a batch. */
export interface BatchOutcome<Body> extends OperationOutcome<Body> {
  /** Its key. */
  key: string;
  /** What the operation threw; the answer is a problem with status 500 then. */
  error?: unknown;
}

/**
 * Runs many operations, each once for its key, with two trips to the ledger for
 * up to 100 of them: one to claim, one to record the answers when the last has
 * ended. Answers that have waited half a second are recorded at once, because a
 * crash would lose them; so long batches take some trips more.
 *
 * Each item has its own outcome, in the order given, as the plain-operation
 * form would give it. An item that throws fails alone. Of two items with the
 * same key and payload one runs, and both have its outcome.
 *
 * @throws {TypeError} When the configuration is wrong.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLedger } from "./memory_ledger.ts";
 * import { runMany } from "./run_many.ts";
 *
 * const invoices = ["invoice-17", "invoice-18"];
 * const outcomes = await runMany(
 *   {
 *     store: memoryLedger(),
 *     userId: "u1",
 *     route: "send-invoice",
 *     items: invoices.map((key) => ({ key, input: key })),
 *   },
 *   ({ input }) => Promise.resolve({ status: 200, body: { sent: input } }),
 * );
 * assertEquals(outcomes.map(({ body }) => body), [
 *   { sent: "invoice-17" },
 *   { sent: "invoice-18" },
 * ]);
 * ```
 */
export async function runMany<Input, Body>(
  context: BatchContext<Input>,
  operation: (
    item: BatchItem<Input>,
    run: OperationRun,
  ) => Promise<OperationResult<Body>>,
): Promise<BatchOutcome<Body>[]> {
  const { items, concurrency = 10, ...shared } = context;
  const { supabase, store, userId, route, ...options } = shared;
  const { scope = route, ttlSeconds } = resolveConfig(options);
  const ledger = ledgerOf(supabase, store);
  const limit = pLimit(concurrency);

  const names = items.map(nameOf);
  const distinct = new Map<string, BatchItem<Input>>();
  items.forEach((item, index) => {
    const name = names[index]!;
    if (!distinct.has(name)) distinct.set(name, item);
  });
  const ledgers = gatherCalls(
    ledger,
    { userId, scope, ttlSeconds },
    distinct.size,
  );

  const outcomes = new Map<string, BatchOutcome<Body>>();
  await Promise.all(
    [...distinct].map(async ([name, item], index) => {
      const { ledger, leave } = ledgers[index]!;
      const { key, payload } = item;
      try {
        const outcome = await runOperation<Body>(
          { ...shared, supabase: undefined, store: ledger, key, payload },
          (run) => limit(() => operation(item, run)),
        );
        outcomes.set(name, { ...outcome, key });
      } catch (error) {
        outcomes.set(name, await failure<Body>(key, error));
      } finally {
        leave();
      }
    }),
  );
  return names.map((name, index) => {
    const outcome = outcomes.get(name)!;
    return names.indexOf(name) === index ? outcome : repeated(outcome);
  });
}

function nameOf<Input>({ key, payload = null }: BatchItem<Input>): string {
  return JSON.stringify([key, canonicalize(payload)]);
}

/** What a second item of the same key and payload is told. */
function repeated<Body>(outcome: BatchOutcome<Body>): BatchOutcome<Body> {
  const { "X-Idempotency-Stored": stored, ...headers } = outcome.headers;
  if (stored === undefined) return outcome;
  return {
    ...outcome,
    headers: { ...headers, "X-Idempotency-Replay": "true" },
    replayed: true,
  };
}

async function failure<Body>(
  key: string,
  error: unknown,
): Promise<BatchOutcome<Body>> {
  const response = problemResponse({
    status: 500,
    code: "OPERATION_FAILED",
    title: "Operation failed",
    detail:
      `The operation with the key "${key}" broke off: send it again with the same key`,
    retryable: true,
  });
  return {
    key,
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.json(),
    replayed: false,
    error,
  };
}
