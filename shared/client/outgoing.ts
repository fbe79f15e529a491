import { readBody } from "./body.ts";
import { digest } from "./digest.ts";
import { subjectOf } from "./subject.ts";

/** The `fetch` of the platform, or one with its manners. */
export type Fetch = (
  input: RequestInfo | URL,
  init?: RequestInit,
) => Promise<Response>;

/** A request that has been read and can be sent. */
export interface Outgoing {
  readonly method: string;
  readonly url: string;
  /** The key that the caller set, or `null`. */
  readonly callerKey: string | null;
  /** Names the user's intention; `null` where the body cannot be read. */
  readonly intention: string | null;
  readonly isRepeatable: boolean;
  readonly signal: AbortSignal | null | undefined;
  /** Sends it under a key, which a key of the caller's goes before. */
  send(fetch: Fetch, key: string, signal: AbortSignal): Promise<Response>;
}

/** What `fetch` is called with, as far as it can be seen without reading it. */
export interface Call {
  readonly method: string;
  readonly url: URL;
  readonly request: Request | undefined;
  readonly input: RequestInfo | URL;
  readonly init: RequestInit;
}

/**
 * Looks at what `fetch` is called with. `undefined` where that has no absolute
 * address: `fetch` refuses it in words of its own.
 */
export function look(
  input: RequestInfo | URL,
  init: RequestInit = {},
): Call | undefined {
  const request = typeof input === "object" && "url" in input
    ? input
    : undefined;
  try {
    return {
      method: (init.method ?? request?.method ?? "GET").toUpperCase(),
      url: new URL(request?.url ?? String(input), globalThis.location?.href),
      request,
      input,
      init,
    };
  } catch {
    return undefined;
  }
}

/**
 * Reads a request to its end.
 *
 * An intention is method, address, user and body: a hash of all of them, so
 * that what is kept in the browser tells nobody what was asked for.
 */
export async function readOutgoing(
  { method, url, request, input, init }: Call,
): Promise<Outgoing> {
  const headers = new Headers(init.headers ?? request?.headers);
  const callerKey = headers.get("idempotency-key") ??
    headers.get("x-idempotency-key");
  // Not as a stream: Firefox has none of a request's body.
  const { content, type, identity, isRepeatable } = await readBody(
    init.body ?? await request?.arrayBuffer(),
    headers.get("content-type"),
  );
  // The platform's own for forms and files, boundary and all.
  if (type !== null) headers.set("Content-Type", type);
  url.hash = "";
  const named = [method, url, subjectOf(headers), identity];
  return {
    method,
    url: url.href,
    callerKey,
    intention: identity === null ? null : await digest(JSON.stringify(named)),
    isRepeatable,
    signal: init.signal ?? request?.signal,
    send(fetch, key, signal) {
      if (callerKey === null) headers.set("Idempotency-Key", key);
      const all = { ...init, method, headers, body: content, signal };
      return request ? fetch(new Request(request, all)) : fetch(input, all);
    },
  };
}
