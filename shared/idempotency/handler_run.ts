import type { ResolvedConfig } from "./config.ts";
import { type EffectKey, unprotectedEffectKey } from "./effect_key.ts";
import { LeaseLostError } from "./errors.ts";
import type { Answer } from "./ledger.ts";
import { platform } from "./platform.ts";
import {
  expose,
  firstResponse,
  outcomeHeaders,
  readAnswer,
  replayResponse,
} from "./response.ts";
import type { Finished, Run } from "./run.ts";
import { type Step, unprotectedStep } from "./steps.ts";
import { passThrough } from "./stream_body.ts";

/** What the middleware puts at `ctx.idempotency`. */
export interface IdempotencyContext {
  /** The key of this request; `null` when it runs without protection. */
  readonly key: string | null;
  /** The route or operation that the key belongs to. */
  readonly scope: string;
  /** Which run of the key this is, from 1; 0 without a key. */
  readonly attempt: number;
  /** Greater than that of every earlier attempt of any key; 0 without a key. */
  readonly fence: number;
  /** Aborted when another attempt takes the key over, or the worker must go. */
  readonly signal: AbortSignal;
  /** Runs a part of the handler once over all attempts of the key. */
  readonly step: Step;
  /** Names an effect of the handler, the same in every attempt. */
  readonly effectKey: EffectKey;
  /**
   * Marks the answer of this run as no outcome: a question, or a refusal with
   * nothing done. It is not recorded, and the same request runs again.
   */
  notFinal(response: Response): Response;
  /**
   * Gives this answer now, for instance 202, and goes on in the background. The
   * key stays in progress until `work` ends; then its answer is recorded, what
   * retries get, and the user is notified where Supabase Realtime is installed.
   */
  finishLater(accepted: Response, work: () => Promise<Response>): Response;
  /**
   * Passes the body through as it comes. The key is completed when the body has
   * ended, not when it is cut off. `text/event-stream` is treated so by itself.
   */
  streamed(response: Response): Response;
}

/** A handler's run, from the context it is given to the response it ends in. */
export interface HandlerRun {
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

/** The run of a handler that holds the key. */
export function handlerRun(
  run: Run,
  scope: string,
  config: ResolvedConfig,
): HandlerRun {
  let isQuestion = false;
  let isStream = false;
  let work: (() => Promise<Response>) | undefined;

  const finish = async (answer: Answer): Promise<Finished> => {
    let isFinal: boolean;
    try {
      isFinal = !isQuestion && config.isFinal(answer.status);
    } catch (error) {
      // The route's own function threw: unsettled, the key would be renewed
      // for as long as the worker lives.
      await run.fail(error);
      throw error;
    }
    return await run.finish(answer, isFinal);
  };

  const settleWhole = async (response: Response): Promise<Response> => {
    let answer: Answer;
    try {
      answer = await readAnswer(response);
    } catch (error) {
      return await fail(error);
    }
    const finished = await finish(answer);
    if (finished.as === "replayed") return replayResponse(finished.answer);
    const marker = finished.as === "stored"
      ? "X-Idempotency-Stored"
      : undefined;
    return firstResponse(response, answer.body, marker);
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
        const { as } = await finish(answer);
        // What was sent is not what retries get: it must not look complete.
        if (as === "replayed") throw new LeaseLostError(run.key);
      },
      aborted: async (reason) => void await run.fail(reason),
    });
    return expose(new Response(passed, response));
  };

  const settleLater = (
    accepted: Response,
    work: () => Promise<Response>,
  ): Response => {
    const rest = async () => {
      try {
        const answer = await readAnswer(await work());
        const { as } = await finish(answer);
        if (as === "stored") await run.notify();
      } catch (error) {
        platform.log(`The background part of "${scope}" failed:`, error);
        await run.fail(error);
      }
    };
    platform.waitUntil(rest());
    return expose(new Response(accepted.body, accepted));
  };

  const fail = async (error: unknown): Promise<Response> => {
    const recorded = await run.fail(error);
    if (recorded !== null) return replayResponse(recorded);
    throw error;
  };

  const { key, attempt, fence, signal, step, effectKey } = run;
  return {
    context: {
      key,
      scope,
      attempt,
      fence,
      signal,
      step,
      effectKey,
      notFinal(response) {
        isQuestion = true;
        return response;
      },
      finishLater(accepted, background) {
        work = background;
        return accepted;
      },
      streamed(response) {
        isStream = true;
        return response;
      },
    },
    async settle(response) {
      if (work !== undefined) return settleLater(response, work);
      const { body } = response;
      return body !== null && (isStream || isEventStream(response))
        ? settleStream(response, body)
        : await settleWhole(response);
    },
    fail,
  };
}

/** The context of a request that runs without protection. */
export function withoutKey(scope: string): IdempotencyContext {
  return {
    key: null,
    scope,
    attempt: 0,
    fence: 0,
    signal: new AbortController().signal,
    step: unprotectedStep,
    effectKey: unprotectedEffectKey,
    notFinal: (response) => response,
    streamed: (response) => response,
    finishLater(accepted, work) {
      platform.waitUntil(
        work().catch((error) =>
          platform.log(`The background part of "${scope}" failed:`, error)
        ),
      );
      return accepted;
    },
  };
}

function isEventStream(response: Response): boolean {
  const type = response.headers.get("content-type") ?? "";
  return /^text\/event-stream\b/i.test(type);
}
