import { pLimit } from "./deps.ts";
import { fingerprintValue } from "./fingerprint.ts";
import {
  type BatchClaim,
  batchesOf,
  type BatchTerms,
  type ClaimResult,
  isRefused,
  type Ledger,
  MAX_BATCH,
  placeOf,
  type Refused,
  type Settlement,
  type SettleResult,
} from "./ledger.ts";
import {
  operationConfig,
  type OperationContext,
  operationLedger,
  type OperationOutcome,
  type OperationResult,
  type OperationRun,
  problemOutcome,
  runOperation,
} from "./operation.ts";
import { MAX_STORED_BYTES } from "./response.ts";

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
 * form would give it. An item that throws fails alone, and so does one whose
 * turn has not come within `maxRunSeconds`. Of two items with the same key and
 * payload one runs, and both have its outcome.
 *
 * @throws {TypeError} When the configuration is wrong.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { memoryLedger } from "./memory_ledger.ts";
 * import { runMany } from "./batch.ts";
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
  const { userId, route } = shared;
  const { ttlSeconds } = operationConfig({ ...shared, key: null });
  const ledger = operationLedger(shared);
  const limit = pLimit(concurrency);

  const names = await Promise.all(items.map(nameOf));
  const distinct = new Map<string, number>();
  names.forEach((name, index) => {
    if (!distinct.has(name)) distinct.set(name, index);
  });
  const ledgers = gatherCalls(
    ledger,
    { userId, scope: route, ttlSeconds },
    distinct.size,
  );

  const outcomes = new Map<string, BatchOutcome<Body>>();
  await Promise.all(
    [...distinct].map(async ([name, index], place) => {
      const { ledger, leave } = ledgers[place]!;
      const item = items[index]!;
      const { key, payload } = item;
      try {
        const outcome = await runOperation<Body>(
          { ...shared, store: ledger, key, payload },
          (run) => operation(item, run),
          limit,
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
    return distinct.get(name) === index ? outcome : repeated(outcome);
  });
}

async function nameOf<Input>(
  { key, payload = null }: BatchItem<Input>,
  place: number,
): Promise<string> {
  // Without types the key may be missing altogether.
  if (typeof key !== "string") return String(place);
  try {
    return JSON.stringify([key, await fingerprintValue(payload)]);
  } catch {
    // It has no JSON form, as its own outcome will say.
    return String(place);
  }
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
  const outcome = await problemOutcome<Body>({
    status: 500,
    code: "OPERATION_FAILED",
    title: "Operation failed",
    detail:
      `The operation with the key "${key}" broke off: send it again with the same key`,
    retryable: true,
  });
  return { ...outcome, key, error };
}

/** A ledger for one item of a batch, which shares its trips with the others. */
interface ItemLedger {
  readonly ledger: Ledger;
  /** The item has ended: the others need not wait for its calls. */
  leave(): void;
}

/** Whose keys a batch is of, and how long they are kept. */
interface BatchOwner {
  readonly userId: string | null;
  readonly scope: string;
  /** In seconds. */
  readonly ttlSeconds: { readonly completed: number; readonly failed: number };
}

// An answer that waits for company is lost when the worker dies. So it waits
// for the items that still run, but not longer than this.
const END_AFTER_MS = 500;

// An item may wait for somebody else's run before it claims, and then polls at
// its own moment. So a claim waits for the next one, but not longer than this.
const CLAIM_AFTER_MS = 25;

interface Waiting<Request, Result> {
  /** Which of the items waits. */
  readonly place: number;
  readonly request: Request;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Lets the items of a batch share trips: their first claims go out together,
 * once the last has made its own; their ends go out together, once no item runs
 * any more, or half a second after the first of them.
 *
 * @param items How many items there are: so many ledgers are made.
 */
function gatherCalls(
  ledger: Ledger,
  { userId, scope, ttlSeconds }: BatchOwner,
  items: number,
): ItemLedger[] {
  const many = batchesOf(ledger);
  const claims: Waiting<BatchClaim & BatchTerms, ClaimResult>[] = [];
  const ends: Waiting<Settlement, SettleResult>[] = [];
  let claimTimer: ReturnType<typeof setTimeout> | undefined;
  let endTimer: ReturnType<typeof setTimeout> | undefined;
  let arriving = items;
  let claiming = 0;
  let running = 0;

  const sendClaims = async () => {
    // Fingerprints take their time, so items arrive in any order; of two with
    // the same key the first of the batch is to have it.
    const batch = claims.splice(0).sort((a, b) => a.place - b.place);
    claiming += batch.length;
    for (const part of partsOf(batch, () => 0)) {
      const terms = termsOf(part[0]!.request);
      await answer(
        part,
        (requests) => many.claimMany(userId, scope, requests, terms),
      );
      claiming -= part.length;
    }
    sendEndsIfLast();
  };

  const sendEnds = async () => {
    clearTimeout(endTimer);
    endTimer = undefined;
    for (const part of partsOf(ends.splice(0), sizeOf)) {
      await answer(
        part,
        (requests) => many.settleMany(userId, scope, requests, ttlSeconds),
      );
    }
  };

  const sendEndsIfLast = () => {
    const last = arriving === 0 && claiming === 0 && running === 0;
    if (last && ends.length > 0) sendEnds();
  };

  const item = (place: number): ItemLedger => {
    let hasArrived = false;
    let isRunning = false;

    const arrive = () => {
      if (!hasArrived) arriving -= 1;
      hasArrived = true;
    };

    const stop = () => {
      if (isRunning) running -= 1;
      isRunning = false;
    };

    const claim: Ledger["claim"] = async ({ key }, request) => {
      const isFirst = !hasArrived;
      const claimed = queued(
        claims,
        place,
        { key, ...request },
        (result) => {
          if (!("fence" in result)) return;
          isRunning = true;
          running += 1;
        },
      );
      arrive();
      clearTimeout(claimTimer);
      if (isFirst && arriving === 0) sendClaims();
      else claimTimer = setTimeout(sendClaims, CLAIM_AFTER_MS);
      return await claimed;
    };

    const end = (settlement: Settlement): Promise<SettleResult> => {
      const settled = queued(ends, place, settlement);
      endTimer ??= setTimeout(sendEnds, END_AFTER_MS);
      stop();
      sendEndsIfLast();
      return settled;
    };

    return {
      ledger: {
        place: ledger.place ?? placeOf(ledger),
        claim,
        renew: (...args) => ledger.renew(...args),
        checkpoint: (...args) => ledger.checkpoint(...args),
        complete: ({ key }, ownerToken, answer) =>
          end({ key, ownerToken, answer }),
        fail: ({ key }, ownerToken, failure) =>
          end({ key, ownerToken, failure }),
        read: (...args) => ledger.read(...args),
        ...(ledger.countReplays === undefined
          ? {}
          : { countReplays: ledger.countReplays.bind(ledger) }),
      },
      leave() {
        arrive();
        stop();
        sendEndsIfLast();
      },
    };
  };
  return Array.from({ length: items }, (_, place) => item(place));
}

function queued<Request, Result>(
  queue: Waiting<Request, Result>[],
  place: number,
  request: Request,
  onResult: (result: Result) => void = () => {},
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  queue.push({
    place,
    request,
    // At once, not when the promise's listeners come to run: what waits for
    // the last item must not overlook this one.
    resolve(result) {
      onResult(result);
      resolve(result);
    },
    reject,
  });
  return promise;
}

/** Sends a part and hands each its answer; never throws. */
async function answer<Request, Result extends { outcome: string }>(
  part: readonly Waiting<Request, Result>[],
  send: (requests: Request[]) => Promise<(Result | Refused)[]>,
): Promise<void> {
  try {
    const results = await send(part.map(({ request }) => request));
    part.forEach(({ resolve, reject }, index) => {
      const result = results[index]!;
      if (isRefused(result)) reject(result.error);
      else resolve(result);
    });
  } catch (error) {
    for (const { reject } of part) reject(error);
  }
}

/** What all items of a batch have in common: anyone's terms less what is its own. */
function termsOf(
  { key: _, fingerprint: __, ownerToken: ___, metadata: ____, ...terms }:
    & BatchClaim
    & BatchTerms,
): BatchTerms {
  return terms;
}

/** Parts that one call takes: few enough, and not too large together. */
function* partsOf<Request, Result>(
  batch: readonly Waiting<Request, Result>[],
  size: (request: Request) => number,
): Generator<Waiting<Request, Result>[]> {
  let part: Waiting<Request, Result>[] = [];
  let bytes = 0;
  for (const waiting of batch) {
    const more = size(waiting.request);
    if (
      part.length === MAX_BATCH ||
      (part.length > 0 && bytes + more > MAX_STORED_BYTES)
    ) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(waiting);
    bytes += more;
  }
  if (part.length > 0) yield part;
}

function sizeOf(settlement: Settlement): number {
  return "answer" in settlement ? settlement.answer.body?.byteLength ?? 0 : 0;
}
