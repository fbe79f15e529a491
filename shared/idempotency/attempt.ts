import type { ResolvedConfig } from "./config.ts";
import { pRetry } from "./deps.ts";
import {
  LeaseLostError,
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  RequestInProgressError,
  ResponseNotStoredError,
} from "./errors.ts";
import { hashIdentity, type Outcome, type Reporter } from "./event.ts";
import type {
  Answer,
  Claimed,
  Failure,
  Identity,
  Ledger,
  SettleResult,
} from "./ledger.ts";
import { platform } from "./platform.ts";
import { MAX_STORED_BYTES, toResponse } from "./response.ts";
import {
  type EffectKey,
  effectKeyOf,
  newEffectKey,
  type Step,
  stepsOf,
} from "./steps.ts";

/** The caller holds the key; it ends with `respond` or `fail`. */
export interface Attempt {
  /** The idempotency key; `null` when nothing protects this attempt. */
  readonly key: string | null;
  /** Names this attempt in every call; `null` without protection. */
  readonly ownerToken: string | null;
  /** Which run of the key this is, from 1; 0 without protection. */
  readonly number: number;
  /** Greater than that of every earlier attempt of any key; 0 without protection. */
  readonly fence: number;
  /**
   * Aborted when the key is lost to another attempt, when `maxRunSeconds` are
   * over, or when the worker is told to go. The key stays held all the same
   * until the attempt ends, dies or hangs.
   */
  readonly signal: AbortSignal;
  /**
   * Makes sure that nobody else has the key, before an effect: asks only where
   * no renewal has come through for as long as a lease lasts.
   *
   * @throws {LeaseLostError} When somebody has, or may have.
   * @throws {LedgerUnavailableError} When nobody can tell.
   */
  assertHeld(): Promise<void>;
  /** Runs a part of the operation once over all attempts. */
  readonly step: Step;
  /** Names an effect, the same in every attempt. */
  readonly effectKey: EffectKey;
  /**
   * Records the answer and says which one to give: this one, or the one that
   * another attempt recorded first.
   *
   * @param final Whether this is an outcome at all; a question is none.
   * @default {true, where `isFinal` agrees}
   * @param late Whether nobody waits for the answer any more: then the ledger is
   * asked to record it for as long as the attempt may run.
   * @default {false}
   * @throws {RequestInProgressError} When another attempt has the key.
   */
  respond(answer: Answer, final?: boolean, late?: boolean): Promise<Responded>;
  /**
   * Records that the attempt did not take effect.
   *
   * @returns The answer to give instead of the error, when another attempt has
   * recorded one; else `null`.
   */
  fail(error: unknown): Promise<KeptAnswer | null>;
  /** Lets it end on terms of whoever ends it, in place of those it was claimed on. */
  endOn(own: Partial<ResolvedConfig>): void;
  /** Tells the user that the key is completed; never throws. */
  notify(): Promise<void>;
  /** Starts the heartbeat: it renews the lease until the attempt ends. */
  keepAlive(): void;
}

/** A recorded answer that can be given again. */
export type KeptAnswer = Answer & { readonly body: Uint8Array };

/**
 * What became of {@link Attempt.respond}, and the answer to give: `stored`, ours,
 * and it will be replayed; `unstored`, ours; `replayed`, another attempt's.
 */
export type Responded =
  | { readonly as: "stored" | "unstored"; readonly answer: Answer }
  | { readonly as: "replayed"; readonly answer: KeptAnswer };

/** What an attempt was granted on. */
export interface Grant {
  readonly ledger: Ledger;
  readonly identity: Identity;
  /** SHA-256 of the request, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  readonly config: ResolvedConfig;
  readonly ownerToken: string;
  readonly claimed: Claimed;
  readonly report: Reporter;
  /** Tells duplicates that wait in this isolate how it ended: the recorded answer, or none. */
  readonly share?: ((answer: Answer | null) => void) | undefined;
}

// The lease says how long a crash may go unnoticed, not how long the work
// takes; most of it is done in a second or two, and asking costs one read.
export const MAX_RETRY_AFTER_SECONDS = 2;

// Three chances in a lease: two renewals may fail before others take over.
const RENEWALS_PER_LEASE = 3;

// Answers about the moment, not about the effect.
const MOMENTARY = new Set([401, 403, 408, 409, 425, 429]);

// A message is for people who look at the key later; a stack or a response
// dumped into it would only push out the part that helps.
const MAX_ERROR_CHARS = 1_000;

// What a refused answer leaves must not be refused as well.
const STORABLE_LOCATION = /^[\x20-\x7e]{1,2000}$/;

/** The second half of the state machine; the first is `claim`. */
export function attemptOf(grant: Grant): Attempt {
  const { ledger, identity, config, ownerToken, claimed } = grant;
  const { key } = identity;
  const { leaseSeconds } = config;
  let terms = config;
  const report = (outcome: Outcome, error?: unknown) => {
    const { onEvent } = terms;
    grant.report(outcome, { attempt: claimed.attempt, error, onEvent });
  };
  const heart = heartOf(grant);
  let effectKey: EffectKey | undefined;
  let step: Step | undefined;
  if (claimed.outcome === "taken_over") report("taken_over");

  const failWith = async (failure: Failure): Promise<KeptAnswer | null> => {
    heart.stop(new Error(`The attempt at the key "${key}" has failed`));
    grant.share?.(null);
    let result: SettleResult;
    try {
      result = await ledger.fail(
        identity,
        ownerToken,
        failure,
        terms.ttlSeconds.failed,
      );
    } catch (cause) {
      // The key frees itself when its lease ends; the handler's own error is
      // what the caller needs to see.
      report("unrecorded", cause);
      return null;
    } finally {
      heart.leave();
    }
    return result.outcome === "replay" ? kept(key, result.answer) : null;
  };

  const record = async (answer: Answer) => ({
    stored: answer,
    result: await ledger
      .complete(identity, ownerToken, answer, terms.ttlSeconds.completed),
  });

  // What no client has heard is lost unless it is recorded: a retry would do the
  // work again. The heart beats on meanwhile.
  const recordLate = (answer: Answer) =>
    pRetry(() => record(answer), {
      retries: Infinity,
      minTimeout: 500,
      maxTimeout: 5_000,
      shouldRetry: ({ error }) =>
        error instanceof LedgerUnavailableError && heart.isBeating(),
    }).finally(heart.stop);

  const complete = (answer: Answer, late: boolean) =>
    (late ? recordLate : record)(answer).catch((error) => {
      // Refused as it is, such as for headers that take too much room. That the
      // effect has happened can still be told: else a retry repeats it.
      if (!(error instanceof LedgerMisconfiguredError)) throw error;
      const location = locationOf(answer) ?? "";
      return record({
        status: answer.status,
        headers: STORABLE_LOCATION.test(location) ? { location } : {},
        body: null,
      }).catch(() => Promise.reject(error));
    }).catch((error) => {
      // The effect has happened. Its answer stops the client from asking again,
      // which an error would invite.
      report("unrecorded", error);
      return { stored: answer, result: null };
    }).finally(heart.leave);

  const fail = (error: unknown): Promise<KeptAnswer | null> => {
    report(error instanceof LeaseLostError ? "lost_lease" : "failed", error);
    return failWith({ message: messageOf(error), status: null });
  };

  const respond = async (
    answer: Answer,
    final = true,
    late = false,
  ): Promise<Responded> => {
    let recorded = answer;
    try {
      final &&= await (terms.isFinal ?? isFinalStatus)(answer.status);
      if (final && !await isKept(answer, terms)) {
        // All that a retry is told: a secret may be in a header as well.
        const location = locationOf(answer);
        const headers: Answer["headers"] = location === undefined
          ? {}
          : { location };
        recorded = { status: answer.status, headers, body: null };
      }
    } catch (error) {
      // The route's own function threw: unsettled, the key would be renewed
      // for as long as the attempt may run.
      await fail(error);
      throw error;
    }
    if (!final) {
      const message =
        `answered with status ${answer.status}, which is not final`;
      report("failed", message);
      const other = await failWith({ message, status: answer.status });
      return other === null
        ? { answer, as: "unstored" }
        : { answer: other, as: "replayed" };
    }
    if (!late) heart.stop();
    const { result, stored } = await complete(recorded, late);
    const isOurs = result?.outcome === "recorded";
    // Only what is recorded is shared: whoever waits would otherwise be given
    // an answer that no retry gets.
    grant.share?.(isOurs && stored.body !== null ? stored : null);
    if (result !== null && terms.onEvent !== undefined) {
      report(isOurs ? "executed" : "lost_lease");
    }
    switch (result?.outcome) {
      case "recorded":
        return { answer, as: "stored" };
      case "replay":
        return { answer: kept(key, result.answer), as: "replayed" };
      case "lost":
        throw new RequestInProgressError(key, MAX_RETRY_AFTER_SECONDS);
      // Nobody else answers for this key any more: ours is the only word.
      case "gone":
      case undefined:
        return { answer, as: "unstored" };
    }
  };

  return {
    key,
    ownerToken,
    number: claimed.attempt,
    fence: claimed.fence,
    get signal() {
      return heart.signal();
    },
    assertHeld: heart.assertHeld,
    get step() {
      return step ??= stepsOf(this.effectKey, {
        finished: claimed.steps,
        assertHeld: heart.assertHeld,
        async keep(name, result) {
          const { outcome } = await ledger
            .checkpoint(identity, ownerToken, name, result, leaseSeconds);
          if (outcome !== "recorded") throw new LeaseLostError(key);
        },
      });
    },
    get effectKey() {
      return effectKey ??= effectKeyOf(identity, grant.fingerprint);
    },
    respond,
    fail,
    endOn(own) {
      terms = { ...terms, ...own };
    },
    async notify() {
      try {
        await ledger.notify?.(identity);
      } catch (error) {
        // The answer is recorded; whoever asks for it gets it all the same.
        const keyHash = await hashIdentity(identity);
        platform.log(`Could not notify the user of the key ${keyHash}:`, error);
      }
    },
    keepAlive: heart.start,
  };
}

/**
 * The attempt of a request without a key, or without a ledger: it just runs.
 *
 * @param effectKey Names its effects: where there is a key, as every other
 * attempt of it does.
 */
export function unprotectedAttempt(
  effectKey: EffectKey = newEffectKey,
): Attempt {
  let controller: AbortController | undefined;
  return {
    key: null,
    ownerToken: null,
    number: 0,
    fence: 0,
    get signal() {
      return (controller ??= new AbortController()).signal;
    },
    assertHeld: () => Promise.resolve(),
    step: stepsOf(effectKey),
    effectKey,
    respond: (answer) => Promise.resolve({ answer, as: "unstored" }),
    fail: () => Promise.resolve(null),
    endOn: () => {},
    notify: () => Promise.resolve(),
    keepAlive: () => {},
  };
}

/**
 * The answer, if its body was kept.
 *
 * @throws {ResponseNotStoredError}
 */
export function kept(key: string, answer: Answer): KeptAnswer {
  if (answer.body !== null) return answer as KeptAnswer;
  throw new ResponseNotStoredError(key, answer.status, locationOf(answer));
}

function locationOf({ headers }: Answer): string | undefined {
  // A plain operation writes names of headers as it likes.
  return Object.entries(headers)
    .find(([name]) => name.toLowerCase() === "location")?.[1];
}

const living = new Set<(reason: Error) => void>();
let isListening = false;

/** Says that an attempt is alive, for as long as it is and may be. */
function heartOf({ ledger, identity, config, ownerToken, share }: Grant) {
  const { leaseSeconds, maxRunSeconds } = config;
  const startedAt = performance.now();
  let renewedAt = startedAt;
  let controller: AbortController | undefined;
  let reason: Error | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let deadline: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;
  const { promise: settled, resolve: leave } = Promise.withResolvers<void>();
  // Why the key may be somebody else's.
  let lost: Error | undefined;

  const abort = (because: Error) => {
    reason ??= because;
    controller?.abort(reason);
  };

  const stop = (because?: Error) => {
    lost ??= because;
    isStopped = true;
    clearTimeout(timer);
    clearTimeout(deadline);
    living.delete(abort);
  };

  const giveUp = (because: Error) => {
    stop(because);
    leave();
    abort(because);
    // Whoever waits for this attempt has to ask who has the key from now on.
    share?.(null);
  };

  const renew = async () => {
    const askedAt = performance.now();
    const { outcome } = await ledger.renew(identity, ownerToken, leaseSeconds);
    if (outcome === "recorded") renewedAt = askedAt;
    else if (!isStopped) giveUp(new LeaseLostError(identity.key));
  };

  const beat = () => {
    timer = setTimeout(async () => {
      try {
        await renew();
      } catch (error) {
        // The next renewal may get through; if none does, the lease lapses.
        const keyHash = await hashIdentity(identity);
        platform.log(`Could not renew the lease of the key ${keyHash}:`, error);
      }
      if (!isStopped) beat();
    }, leaseSeconds * 1000 / RENEWALS_PER_LEASE);
  };

  // Not left to the heartbeat: a renewal may wait for a ledger that is down.
  const expire = () =>
    giveUp(
      new Error(
        `The attempt ran for ${maxRunSeconds} s, as long as maxRunSeconds lets it: its lease is renewed no more`,
      ),
    );

  return {
    start() {
      if (timer !== undefined || isStopped) return;
      living.add(abort);
      // With a client that goes away the work would end halfway, and its retry
      // do it again.
      platform.workers?.waitUntil(settled);
      if (!isListening) {
        isListening = true;
        // Told to go, the worker may still finish what it is at: the key stays
        // held, and whoever listens to the signal can hurry.
        platform.onUnload(() =>
          living.forEach((abort) =>
            abort(new Error("The worker is told to go"))
          )
        );
      }
      const left = startedAt + maxRunSeconds * 1000 - performance.now();
      deadline = setTimeout(expire, Math.max(0, left));
      beat();
    },
    stop,
    isBeating: () => !isStopped,
    /** The key has been settled: the worker may go. */
    leave,
    async assertHeld() {
      // A worker that was frozen goes on before any of its timers.
      const isLapsed = performance.now() - renewedAt > leaseSeconds * 1000;
      if (isLapsed && !isStopped) await renew();
      if (!isStopped) return;
      throw lost ??
        new Error(`The attempt at the key "${identity.key}" has ended`);
    },
    signal(): AbortSignal {
      if (controller === undefined) {
        controller = new AbortController();
        if (reason !== undefined) controller.abort(reason);
      }
      return controller.signal;
    },
  };
}

/** The default of `isFinal`. */
function isFinalStatus(status: number): boolean {
  return status < 500 && !MOMENTARY.has(status);
}

async function isKept(
  answer: Answer,
  { keepBody }: ResolvedConfig,
): Promise<boolean> {
  return answer.body !== null && answer.body.byteLength <= MAX_STORED_BYTES &&
    (keepBody === undefined || await keepBody(toResponse(answer)));
}

function messageOf(error: unknown): string {
  try {
    const text = error instanceof Error
      ? `${error.name}: ${error.message}`
      : String(error);
    return text.slice(0, MAX_ERROR_CHARS);
  } catch {
    return "threw what has no text";
  }
}
