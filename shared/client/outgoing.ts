import type { Fetch } from "./idempotent_fetch.ts";
import { type KeptKey, newKey } from "./keys.ts";

/** A request that has been read and can be sent. */
export interface Outgoing {
  readonly method: string;
  readonly url: string;
  /** The key that the caller set. */
  readonly claimed: KeptKey | undefined;
  /** Names the user's intention; another one each time where nobody can tell. */
  readonly intention: string;
  /** Names the method and path, whatever ids are in it. */
  readonly route: string;
  readonly isRepeatable: boolean;
  /** Of its body, in bytes; `Infinity` where nobody can tell. */
  readonly size: number;
  readonly signal: AbortSignal | undefined;
  /**
   * Sends it under a key, which a key of the caller's goes before; as it came
   * where there is `null`.
   */
  send(
    fetch: Fetch,
    key: string | null,
    signal: AbortSignal | undefined,
  ): Promise<Response>;
}

/** What `fetch` is called with, as far as it can be seen without reading it. */
export interface Call {
  readonly method: string;
  readonly url: URL;
  readonly request: Request | undefined;
  readonly init: RequestInit;
}

/**
 * Looks at what `fetch` is called with.
 *
 * @throws {TypeError} When that has no absolute address.
 */
export function look(
  input: RequestInfo | URL,
  init: RequestInit = {},
): Call {
  const request = "url" in Object(input) ? input as Request : undefined;
  // Not by the page's own address: it may have another base.
  const { method, url } = request ?? new Request(input);
  return {
    url: new URL(url),
    method: (init.method ?? method).toUpperCase(),
    request,
    init,
  };
}

// What only says where a function is to run; the server leaves it out too.
const REGION = "forceFunctionRegion";

const IDS = /\/(\d+|[\da-f-]{36})(?=\/|$)/gi;

/**
 * Reads a request to its end.
 *
 * An intention is method, address, user and body: a hash of all of them, so
 * that what is kept in the browser tells nobody what was asked for. Neither the
 * region that is to run it nor the device's clock has a part in it.
 */
export async function readOutgoing(
  { method, url, request, init }: Call,
): Promise<Outgoing> {
  const headers = new Headers(init.headers ?? request?.headers);
  const callerKey = headers.get("idempotency-key") ??
    headers.get("x-idempotency-key");
  // Not as a stream: Firefox has none of a request's body.
  let body = init.body ??
    (/GET|HEAD/.test(method) ? null : await request?.arrayBuffer()) ?? null;
  // Asked of its methods: React Native has no class of this kind.
  const given = Object(body);
  const isRepeatable = !(given.getReader ?? given[Symbol.asyncIterator]);
  // What is not read is like nothing else: a stream, a file larger than the
  // server takes, and what React Native lets nobody read.
  let identity: string | null = newKey();
  try {
    if (!body || typeof body === "string") {
      identity = body as string | null;
    } else if (isRepeatable && !((body as Blob).size > MAX_READ_BYTES)) {
      // A copy too, of what its owner may change meanwhile.
      const copy = new Response(body, { headers });
      const type = copy.headers.get("content-type");
      const bytes = await copy.arrayBuffer();
      // The boundary of a form is another one each time.
      const boundary = type?.split("boundary=")[1];
      identity = await digest(
        boundary
          ? new TextDecoder("latin1").decode(bytes).replaceAll(boundary, "")
          : bytes,
      );
      // The platform's own for forms and files, boundary and all.
      if (type) headers.set("content-type", type);
      body = bytes;
    }
  } catch {
    // Sent as it is.
  }
  const { byteLength, length } = (body ?? "") as Partial<ArrayBuffer & string>;
  url.hash = "";
  const { href, origin, pathname } = url;
  url.searchParams.delete(REGION);
  const named = [method, url, subjectOf(headers), identity];
  return {
    method,
    url: href,
    claimed: callerKey ? { key: callerKey, isNew: false } : undefined,
    intention: await digest(JSON.stringify(named)),
    route: method + origin + pathname.replace(IDS, "/*"),
    isRepeatable,
    size: byteLength ?? length ?? Infinity,
    signal: init.signal ?? request?.signal ?? undefined,
    send(fetch, key, signal) {
      if (key && !callerKey) headers.set("idempotency-key", key);
      const all = { ...init, method, headers, body, signal: signal! };
      // Not the caller's URL, which may be another by now.
      return fetch(request ?? href, all);
    },
  };
}

/** The largest file that is read, in bytes: about what the server takes. */
const MAX_READ_BYTES = 64_000_000;

/**
 * Who sends a request, as far as its headers tell: the subject of the token,
 * which stays when the token is refreshed, or else the credential itself.
 *
 * The token is not verified. It only keeps the keys of two users of one browser
 * apart; the server keeps the users apart.
 */
export function subjectOf(headers: Headers): string {
  const credential = headers.get("authorization") ?? headers.get("cookie") ??
    headers.get("apikey") ?? "";
  try {
    return JSON.parse(
      atob(
        credential.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/"),
      ),
    ).sub ?? credential;
  } catch {
    return credential;
  }
}

/**
 * SHA-256 of a text or of bytes, as 32 numbers.
 *
 * Where there is no `crypto.subtle` (React Native, pages over plain HTTP) it is
 * a checksum of 64 bits. That tells payloads apart and stands against no
 * attacker; the server compares payloads by SHA-256 of its own, and answers a
 * collision with 422.
 */
export async function digest(
  data: string | ArrayBuffer,
): Promise<string> {
  const bytes = typeof data === "string"
    ? new TextEncoder().encode(data)
    : new Uint8Array(data);
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) return checksum(bytes);
  return `${new Uint8Array(await subtle.digest("SHA-256", bytes))}`;
}

function checksum(bytes: Uint8Array): string {
  let one = bytes.length;
  let two = one;
  for (const byte of bytes) {
    one = Math.imul(one ^ byte, 0x85ebca6b);
    two = Math.imul(two ^ byte, 0xc2b2ae35) + (one >>> 15);
  }
  return `${one}.${two}`;
}
