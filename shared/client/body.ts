import { digest } from "./digest.ts";

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
    for (const [name, value] of body) content.append(name, value);
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
    : await digest(new Uint8Array(content));
  return { content, type: named, identity };
}

async function identifyForm(form: FormData): Promise<string | null> {
  const parts: unknown[] = [];
  for (const [name, value] of form) {
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
    : await digest(new Uint8Array(await new Response(blob).arrayBuffer()));
}
