import {
  type AttemptEvent,
  createIdempotentFetch,
  type IdempotentFetch,
  type IdempotentFetchOptions,
  type KeyStorage,
  memoryStorage,
} from "../../shared/client.ts";

/** What a scripted server saw. */
export interface Seen {
  method: string;
  url: string;
  key: string | null;
  body: string;
}

/** An answer, or how there comes to be none. */
export type Line =
  | Response
  | Error
  | ((signal: AbortSignal | undefined) => Promise<Response>);

/** A client whose server reads its answers from a script. */
export interface Scripted {
  send: IdempotentFetch;
  /** What was sent, in order. */
  seen: Seen[];
  /** How long the client waited, in milliseconds, each time. */
  waits: number[];
  events: AttemptEvent[];
  /** Moves the clock; waiting moves it too. */
  advance(ms: number): void;
  storage: KeyStorage;
}

/** Where functions are, in these tests. */
export const ORDERS = "http://x/functions/v1/orders";

/** An answer that the server has recorded. */
export function recorded(body: unknown = { order: 1 }, status = 201): Response {
  const headers = { "X-Idempotency-Stored": "true" };
  return Response.json(body, { status, headers });
}

/** A problem document, as the core writes it. */
export function refused(
  status: number,
  code: string,
  more: { retryable?: boolean; retryAfter?: string } = {},
): Response {
  const { retryable, retryAfter } = more;
  const body = { code, status, detail: `Told ${code}`, retryable };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      "Content-Type": "application/problem+json",
      "Link": '<https://example.com>; rel="describedby"',
      ...(retryAfter === undefined ? {} : { "Retry-After": retryAfter }),
    },
  });
}

/** The network losing a request or its answer. */
export function lost(): Error {
  return new TypeError("connection reset");
}

/**
 * Makes a client whose server answers by a script, and which waits no real
 * time. The last line of the script is repeated.
 */
export function scripted(
  script: readonly Line[],
  options: IdempotentFetchOptions = {},
): Scripted {
  let time = 1_800_000_000_000;
  const seen: Seen[] = [];
  const waits: number[] = [];
  const events: AttemptEvent[] = [];
  const storage = options.storage ?? memoryStorage();
  const send = createIdempotentFetch({
    now: () => time,
    random: () => 0.5,
    pause(ms, signal) {
      waits.push(ms);
      time += ms;
      return signal.aborted ? Promise.reject(signal.reason) : Promise.resolve();
    },
    onAttempt: (event) => events.push(event),
    // Protected functions are called here, unless a test says otherwise.
    match: ({ method, url }) =>
      method !== "GET" && url.includes("/functions/v1/"),
    ...options,
    storage,
    async fetch(input, init) {
      const request = new Request(input, init);
      seen.push({
        method: request.method,
        url: request.url,
        key: request.headers.get("idempotency-key"),
        body: await request.text(),
      });
      const line = script[Math.min(seen.length, script.length) - 1]!;
      if (line instanceof Error) throw line;
      if (typeof line === "function") return await line(init?.signal!);
      return line.clone();
    },
  });
  const advance = (ms: number) => void (time += ms);
  return { send, seen, waits, events, advance, storage };
}

/** A request that makes an order. */
export function order(
  body: BodyInit = '{"item":1}',
  more: RequestInit = {},
): RequestInit {
  return { method: "POST", body, ...more };
}
