import type { Fetch } from "./options.ts";
import { digest } from "./platform.ts";

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

/** A body that can be sent, and told from others. */
export interface ReadBody {
  readonly content: BodyInit | null;
  /** Its content type, where that is not up to the platform. */
  readonly type: string | null;
  /** The same for equal contents; `null` where they are not read. */
  readonly identity: string | null;
  /** Whether it can be sent more than once. */
  readonly isRepeatable: boolean;
}

/** The largest file that is read, in bytes: the server refuses larger ones. */
const MAX_READ_BYTES = 64 * 1024 * 1024;

/**
 * Reads a body as far as needed to send it again and to know it again. What
 * its owner may change meanwhile is copied.
 *
 * A stream, a file larger than the server takes, and what the platform does
 * not let anybody read (React Native's forms and files) have no identity.
 *
 * @param type Its content type, where the caller has named one.
 */
export async function readBody(
  body: BodyInit | null | undefined,
  type: string | null,
): Promise<ReadBody> {
  const isRepeatable = !isStream(body);
  const unread = { content: body ?? null, type, identity: null, isRepeatable };
  if (!isRepeatable) return unread;
  try {
    return { ...unread, ...await read(body, type) };
  } catch {
    return unread;
  }
}

/** Asked of its methods: React Native has no class of this kind. */
export function isStream(body: unknown): body is ReadableStream {
  return typeof body === "object" && body !== null && "getReader" in body;
}

async function read(
  body: BodyInit | null | undefined,
  type: string | null,
): Promise<Partial<ReadBody>> {
  if (!body) return { identity: "" };
  if (typeof body === "string") return { identity: await digest(body) };
  if (body instanceof FormData) {
    const content = new FormData();
    body.forEach((value, name) => content.append(name, value));
    return { content, identity: await identifyForm(content) };
  }
  if (body instanceof Blob) return { identity: await identifyBlob(body) };
  const init = type === null ? {} : { headers: { "Content-Type": type } };
  const response = new Response(body, init);
  const copy = response.clone();
  const named = response.headers.get("content-type");
  const content = await response.arrayBuffer();
  // The boundary of a form is another one each time.
  const identity = named?.startsWith("multipart/form-data")
    ? await identifyForm(await copy.formData())
    : await digest(content);
  return { content, type: named, identity };
}

async function identifyForm(form: FormData): Promise<string | null> {
  const parts: unknown[] = [];
  const values: [string, FormDataEntryValue][] = [];
  form.forEach((value, name) => values.push([name, value]));
  for (const [name, value] of values) {
    if (typeof value === "string") parts.push([name, value]);
    else parts.push([name, value.name, value.type, await identifyBlob(value)]);
  }
  return parts.flat().includes(null)
    ? null
    : await digest(JSON.stringify(parts));
}

async function identifyBlob(blob: Blob): Promise<string | null> {
  return blob.size > MAX_READ_BYTES
    ? null
    : await digest(await new Response(blob).arrayBuffer());
}

/**
 * Who sends a request, as far as its headers tell: the subject of the token,
 * which stays when the token is refreshed, or else the credential itself.
 *
 * The token is not verified. It only keeps the keys of two users of one browser
 * apart; the server keeps the users apart.
 */
export function subjectOf(headers: Headers): string {
  const credential = headers.get("authorization") ?? headers.get("apikey") ??
    "";
  try {
    const claims = credential.split(".")[1]!.replaceAll("-", "+")
      .replaceAll("_", "/");
    return JSON.parse(atob(claims)).sub ?? credential;
  } catch {
    return credential;
  }
}
