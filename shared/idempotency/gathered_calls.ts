import {
  type BatchClaim,
  type BatchTerms,
  type ClaimResult,
  type Ledger,
  MAX_BATCH,
  type Refused,
  type Settlement,
  type SettleResult,
} from "./ledger.ts";
import { MAX_STORED_BYTES } from "./response.ts";

/** A ledger for one item of a batch, which shares its trips with the others. */
export interface ItemLedger {
  readonly ledger: Ledger;
  /** The item has ended: the others need not wait for its calls. */
  leave(): void;
}

/** Whose keys a batch is of, and how long they are kept. */
export interface BatchOwner {
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
export function gatherCalls(
  ledger: Ledger,
  { userId, scope, ttlSeconds }: BatchOwner,
  items: number,
): ItemLedger[] {
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
      const { leaseSeconds, ttlSeconds, onAbandoned } = part[0]!.request;
      const terms = { leaseSeconds, ttlSeconds, onAbandoned };
      await answer(
        part,
        (requests) => ledger.claimMany(userId, scope, requests, terms),
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
        (requests) => ledger.settleMany(userId, scope, requests, ttlSeconds),
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
        ({ outcome }) => {
          if (outcome !== "claimed") return;
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
        claim,
        renew: (...args) => ledger.renew(...args),
        checkpoint: (...args) => ledger.checkpoint(...args),
        complete: ({ key }, ownerToken, answer) =>
          end({ key, ownerToken, answer }),
        fail: ({ key }, ownerToken, errorMessage) =>
          end({ key, ownerToken, errorMessage }),
        claimMany: (...args) => ledger.claimMany(...args),
        settleMany: (...args) => ledger.settleMany(...args),
        read: (...args) => ledger.read(...args),
        notify: (...args) => ledger.notify(...args),
        countReplays: (...args) => ledger.countReplays(...args),
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

function isRefused(result: { outcome: string }): result is Refused {
  return result.outcome === "refused";
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
