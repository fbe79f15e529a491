import { noteSent, sentOf } from "./answers.ts";
import {
  defaultStorage,
  type KeptKey,
  type KeyStorage,
  type KeyStore,
  keyStore,
  newKey,
} from "./keys.ts";
import { type Call, look, type Outgoing, readOutgoing } from "./outgoing.ts";
import {
  type AttemptEvent,
  isEventStream,
  reasonOf,
  type RetryOptions,
  sendUntilAnswered,
  unlessAborted,
} from "./sending.ts";

/** The `fetch` of the platform, or one with its manners. */
export type Fetch = (
  input: RequestInfo | URL,
  init?: RequestInit,
) => Promise<Response>;

/** Options of `createIdempotentFetch`. */
export interface IdempotentFetchOptions {
  /**
   * Sends a request once.
   *
   * @default {globalThis.fetch}
   */
  fetch?: Fetch | undefined;
  /**
   * Keeps keys over page reloads and shares them between tabs.
   *
   * @default {localStorage, or memory where there is none}
   */
  storage?: KeyStorage | undefined;
  /**
   * Lists the functions that are protected: what it matches gets a key and is
   * sent again from the first request on, the rest is left alone. It is given
   * a request with the method and the address alone, no headers and no body.
   *
   * @default {POST, PUT, PATCH and DELETE under /functions/v1/, each path sent
   * again only once an answer of it has shown that it is protected}
   */
  match?: ((request: Request) => boolean) | undefined;
  /** When a request is sent again. */
  retry?: RetryOptions | undefined;
  /**
   * How long a key without a final answer is kept, in milliseconds. No longer
   * than the server keeps it: after that the same key runs again.
   *
   * @default {86_400_000}
   */
  keepMs?: number | undefined;
  /** Told what happens to each request that is sent under a key. */
  onAttempt?: ((event: AttemptEvent) => void) | undefined;
  /**
   * The present, in milliseconds since 1970; for tests.
   *
   * @default {Date.now}
   */
  now?: (() => number) | undefined;
  /**
   * From 0 up to, and without, 1; for tests.
   *
   * @default {Math.random}
   */
  random?: (() => number) | undefined;
  /**
   * Waits, and throws the signal's reason when it is aborted; for tests.
   *
   * @default {by setTimeout, until the browser is back online}
   */
  pause?: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined;
}

/** One intention of the user, which takes effect once however often it is sent. */
export interface Attempt {
  /**
   * The key that the request is sent under. A follow-up of the same intention,
   * such as a confirmation, is sent under it too.
   */
  readonly key: string;
  /** Sends the request, or shares the answer of a sending under way. */
  send(): Promise<Response>;
  /**
   * Gives the intention up: what is sent from now on is another one, and may
   * take effect beside the first. A key that the caller set stays, and so does
   * what it stands for.
   */
  reset(): Promise<void>;
}

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
 * A function that nobody has protected is called as often as without this, and
 * no more: until it is listed in `match`, or an answer of it has shown that it
 * runs once under a key, a request is sent once. It carries a key even then,
 * where the function's CORS headers let one in.
 *
 * Resolves to the last answer, whatever its status, as `fetch` does.
 *
 * @throws {TypeError} The last error of the network, when no try got through;
 * `No answer for …`, when the last one was silent for too long.
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
 *   match: ({ url }) => url.endsWith("/orders"),
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
): IdempotentFetch & typeof globalThis.fetch {
  // Also where this is put in its place.
  const platform = globalThis.fetch;
  let self: Fetch;
  const {
    // Looked up at each call: others may wrap it later.
    fetch = (input, init) =>
      (globalThis.fetch === self ? platform : globalThis.fetch)(input, init),
    match,
    now = Date.now,
    keepMs = 86_400_000,
    onAttempt,
  } = options;
  const tell = (event: AttemptEvent) =>
    new Promise((told) => told(onAttempt?.(event))).catch(console.error);
  const flights = new Map<string, Flight>();
  // Not the device's clock, which people set.
  const tick = options.now ?? (() => performance.now());
  const startedAt = now() - tick();
  // Made when needed first: a page may never send a change.
  let store: KeyStore | undefined;
  const keys = () =>
    store ??= keyStore({
      storage: options.storage ?? defaultStorage(),
      keepMs,
      clocks: () => [now(), startedAt + tick()],
    });

  const claim = (request: Outgoing, ask?: () => unknown) =>
    request.claimed ?? keys().keyOf(request.intention, ask);

  // Paths of which an answer has shown that they are protected.
  const shown = new Set<string>();

  // How often a path let no key in, until it is believed; -1 where it lets one in.
  const refusals = new Map<string, number>();

  const countRefusals = async ({ url, route }: Outgoing): Promise<void> => {
    let count = refusals.get(route) ?? 0;
    const location = globalThis.location;
    // A preflight may get lost, twice it is no chance: halved, 0 and 1 are 0.
    const isKnown = count >> 1;
    if (isKnown || !location || url.startsWith(location.origin + "/")) return;
    const headers = { "idempotency-key": newKey() };
    try {
      // Every function that pages call answers OPTIONS without an effect, and the
      // browser sends it only after a preflight that let the key in.
      await fetch(url, { method: "OPTIONS", headers });
      count = -1;
    } catch {
      count++;
    }
    refusals.set(route, count);
  };

  const perform = async (
    request: Outgoing,
    isListed = false,
  ): Promise<Response> => {
    const { method, url, signal, claimed, intention, route } = request;
    const isProtected = isListed || shown.has(route);
    const name = claimed?.key + intention;
    const flight: Flight = flights.get(name) ?? {
      controller: new AbortController(),
      callers: 0,
    };
    flights.set(name, flight);
    flight.callers++;

    const start = async (signal: AbortSignal) => {
      // Asked before a key is kept: a page that is left meanwhile has sent none.
      const ask = () => isProtected || countRefusals(request);
      if (claimed) await ask();
      const { key, isNew } = await (flight.claimed ??= claim(request, ask));
      const refused = refusals.get(route)!;
      // What may have been sent under a key is not sent without it.
      if (!isProtected && refused > 0 && isNew) {
        await keys().forget(key, intention);
        try {
          const response = await request.send(fetch, null, signal);
          if (refused === 1) {
            console.warn(
              `CORS of ${url} refuses idempotency-key or OPTIONS: see corsHeaders`,
            );
          }
          return response;
        } catch (error) {
          // Then it may have been the network that let nothing through.
          refusals.set(route, refused - 1);
          throw error;
        }
      }
      const { response, isFinal, isShown, count } = await sendUntilAnswered({
        ...request,
        signal,
        send: (signal) => request.send(fetch, key, signal),
        isProtected,
        // What becomes of this one says nothing of an equal one under way.
        isNew: () => isNew && flight.callers < 2,
        tick,
        tell: (event) => tell({ ...event, method, url, key }),
      }, options);
      if (isFinal && !isEventStream(response)) {
        await keys().forget(key, intention);
        // An equal one may be under way still; what joins now is another one.
        flight.claimed = flight.answer = undefined;
      }
      if (isShown) isListed || shown.add(route);
      else if (response.ok) shown.delete(route);
      return noteSent(response, { key, count });
    };

    try {
      if (flight.answer) tell({ type: "joined", method, url });
      const { signal: shared } = flight.controller;
      const answer = isProtected
        ? flight.answer ??= start(shared)
        : start(signal ?? shared);
      let response = await unlessAborted(answer, signal);
      const sent = sentOf(response);
      if (!sent) return response;
      // The last to take it reads the original: nobody else is left.
      if (isProtected && flight.callers > 1) response = response.clone();
      if (isEventStream(response)) {
        response = untilEnd(
          response,
          signal,
          () => keys().forget(sent.key, intention),
        );
      }
      return noteSent(response, sent);
    } finally {
      if (--flight.callers < 1) {
        flights.delete(name);
        if (signal?.aborted) flight.controller.abort(reasonOf(signal));
      }
    }
  };

  const lists = ({ url, method }: Call) =>
    match?.(new Request(url, { method }));

  return self = Object.assign(
    async (input: RequestInfo | URL, init?: RequestInit) => {
      let call;
      try {
        call = look(input, init);
      } catch {
        // It refuses that in words of its own.
        return fetch(input, init);
      }
      const { method, url } = call;
      const isListed = lists(call);
      return isListed ?? (!/GET|HEAD|OPTIONS/.test(method) &&
          url.pathname.startsWith("/functions/v1/"))
        ? perform(await readOutgoing(call), isListed)
        : fetch(input, init);
    },
    // With what comes with it: Bun's has a `preconnect`.
    platform,
    {
      async attempt(input: RequestInfo | URL, init?: RequestInit) {
        const call = look(input, init);
        const request = await readOutgoing(call);
        let claimed = await claim(request);
        return {
          get key() {
            return claimed.key;
          },
          async send() {
            const sent = claimed;
            // Whatever is sent from now on may come second.
            claimed = { ...sent, isNew: false };
            const response = await perform(
              { ...request, claimed: sent },
              lists(call),
            );
            if (!sentOf(response)) claimed = sent;
            return response;
          },
          async reset() {
            await keys().forget(claimed.key, request.intention);
            claimed = await claim(request);
          },
        };
      },
    },
  );
}

/** Equal requests that are under way at once. */
interface Flight {
  /** Their key. */
  claimed?: KeptKey | Promise<KeptKey> | undefined;
  /** The answer that they share, of a protected function. */
  answer?: Promise<Response> | undefined;
  readonly controller: AbortController;
  callers: number;
}

/**
 * The same answer, passed through as it comes.
 *
 * @param signal Ends it half-way.
 * @param ended Called when it has come to its end.
 */
function untilEnd(
  response: Response,
  signal: AbortSignal | undefined,
  ended: () => Promise<void>,
): Response {
  const { body, url } = response;
  if (!body) {
    // Nobody can tell here when it ends.
    void ended();
    return response;
  }
  const end = new TransformStream({ flush: ended });
  const passed = body.pipeThrough(end, { signal: signal! });
  const copy = new Response(passed, response);
  return Object.defineProperty(copy, "url", { value: url });
}
