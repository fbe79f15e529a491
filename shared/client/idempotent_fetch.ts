import { idempotencyKeyOf, noteKey } from "./answers.ts";
import { sharedFlights } from "./flights.ts";
import {
  defaultStorage,
  type KeptKey,
  type KeyStore,
  keyStore,
} from "./keys.ts";
import type { Attempt, Fetch, IdempotentFetchOptions } from "./options.ts";
import { look, type Outgoing, readOutgoing } from "./outgoing.ts";
import { newKey } from "./platform.ts";
import { isEventStream, sendUntilAnswered } from "./retries.ts";

/** A `fetch` under which a change takes effect once. */
export interface IdempotentFetch extends Fetch {
  /**
   * The attempt behind a request, to look at its key, to send it at will, or to
   * give it up. Takes any request, whether it matches or not.
   */
  attempt(input: RequestInfo | URL, init?: RequestInit): Promise<Attempt>;
}

/**
 * Makes a `fetch` that sends changes under an idempotency key, and again when
 * their answer is lost.
 *
 * A key stands for one intention of the user: the same method, address, body
 * and user, until there is a final answer. It is kept over retries, and where
 * there is a storage over page reloads and in other tabs. Repeats of a request
 * that is under way share its answer.
 *
 * Resolves to the last answer, whatever its status, as `fetch` does.
 *
 * @throws {TypeError} The last error of the network, when no try got through.
 * @throws The reason of the request's signal, at once when it is aborted.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createIdempotentFetch } from "./idempotent_fetch.ts";
 * import { memoryStorage } from "./keys.ts";
 *
 * const keys: (string | null)[] = [];
 * const idempotentFetch = createIdempotentFetch({
 *   storage: memoryStorage(),
 *   retry: { baseMs: 1 },
 *   // Loses the first answer.
 *   fetch: (_, init) => {
 *     keys.push(new Headers(init?.headers).get("Idempotency-Key"));
 *     return keys.length === 1
 *       ? Promise.reject(new TypeError("connection reset"))
 *       : Promise.resolve(Response.json({ order: 1 }, { status: 201 }));
 *   },
 * });
 * const { status } = await idempotentFetch("http://x/functions/v1/orders", {
 *   method: "POST",
 *   body: "{}",
 * });
 * assertEquals([status, keys.length, keys[0]], [201, 2, keys[1]]);
 * ```
 */
export function createIdempotentFetch(
  options: IdempotentFetchOptions = {},
): IdempotentFetch {
  const {
    // Looked up at each call: others may wrap it later.
    fetch = (input, init) => globalThis.fetch(input, init),
    match = isFunctionChange,
    now = Date.now,
    keepMs = 86_400_000,
    onAttempt,
  } = options;
  const flights = sharedFlights((response) =>
    noteKey(response.clone(), idempotencyKeyOf(response)!)
  );
  // Made when needed first: a page may never send a change.
  let store: KeyStore | undefined;
  const keys = () =>
    store ??= keyStore({
      storage: options.storage ?? defaultStorage(),
      keepMs,
      now,
    });

  const claim = async (request: Outgoing): Promise<KeptKey> => {
    const { callerKey, intention } = request;
    if (callerKey !== null) return { key: callerKey, isNew: false };
    return intention === null
      ? { key: newKey(), isNew: true }
      : await keys().keyOf(intention);
  };

  const forget = async (key: string, { intention }: Outgoing) => {
    await keys().forget(key, intention ?? "");
  };

  const perform = async (request: Outgoing, claimed?: KeptKey) => {
    const { method, url, signal, callerKey, intention } = request;
    const name = intention === null
      ? newKey()
      : `${claimed?.key ?? callerKey} ${intention}`;
    if (flights.has(name)) onAttempt?.({ type: "joined", method, url });
    const response = await flights.join(name, signal, async (signal) => {
      const { key, isNew } = claimed ?? await claim(request);
      const { response, isFinal } = await sendUntilAnswered({
        ...request,
        signal,
        send: () => request.send(fetch, key, signal),
        isResumed: !isNew,
        tell: (event) => onAttempt?.({ ...event, method, url, key }),
      }, options);
      if (isFinal && !isEventStream(response)) await forget(key, request);
      return noteKey(response, key);
    });
    if (!response.ok || !isEventStream(response)) return response;
    const key = idempotencyKeyOf(response)!;
    return noteKey(untilEnd(response, signal, () => forget(key, request)), key);
  };

  return Object.assign(
    async (input: RequestInfo | URL, init?: RequestInit) => {
      const call = look(input, init);
      return call && match(new Request(call.url, { method: call.method }))
        ? await perform(await readOutgoing(call))
        : await fetch(input, init);
    },
    {
      async attempt(input: RequestInfo | URL, init?: RequestInit) {
        const request = await readOutgoing(look(input, init)!);
        let claimed = await claim(request);
        return {
          get key() {
            return claimed.key;
          },
          send() {
            const sent = claimed;
            // Whatever is sent from now on may come second.
            claimed = { ...claimed, isNew: false };
            return perform(request, sent);
          },
          async reset() {
            await forget(claimed.key, request);
            claimed = await claim(request);
          },
        };
      },
    },
  );
}

/**
 * The same answer, passed through as it comes.
 *
 * @param signal Ends it half-way.
 * @param ended Called when it has come to its end.
 */
export function untilEnd(
  response: Response,
  signal: AbortSignal | null | undefined,
  ended: () => Promise<void>,
): Response {
  const { body, url } = response;
  if (!body || !globalThis.TransformStream) {
    // Nobody can tell here when it ends.
    void ended();
    return response;
  }
  const end = new TransformStream({ flush: ended });
  const passed = body.pipeThrough(end, signal ? { signal } : {});
  const copy = new Response(passed, response);
  return Object.defineProperty(copy, "url", { value: url });
}

const CHANGES = ["POST", "PUT", "PATCH", "DELETE"];

/** Whether a request asks an edge function for a change. */
export function isFunctionChange({ method, url }: Request): boolean {
  return CHANGES.includes(method) &&
    new URL(url).pathname.startsWith("/functions/v1/");
}
