import { idempotencyKeyOf, isReplayed, problemOf } from "./answers.ts";
import {
  createIdempotentFetch,
  type IdempotentFetch,
} from "./idempotent_fetch.ts";

/** How a call of an {@link Api} is made. */
export interface ApiCallOptions<T> {
  /** Further headers. */
  headers?: HeadersInit | undefined;
  /** The key, where it is not to be made: of the attempt that this confirms. */
  key?: string | undefined;
  /** Ends the call. */
  signal?: AbortSignal | undefined;
  /** Checks the data, for instance `Order.parse` of a zod schema. */
  parse?: ((data: unknown) => T) | undefined;
}

/** A successful answer. */
export interface ApiResult<T> {
  /** The body: JSON parsed, other text as it is, `null` where there is none. */
  data: T;
  /** Whether it repeats an answer that was lost before. */
  replayed: boolean;
  /** The HTTP status. */
  status: number;
  /** The key that the request was sent under, unless no key was let in. */
  key: string | undefined;
}

/**
 * Sends a change and resolves to its answer.
 *
 * @param url What follows the base address of the {@link Api}.
 * @param body A form, a file, bytes or `URLSearchParams` as they are, anything
 * else as JSON; `undefined` for none.
 * @throws {IdempotencyProblemError} On any answer that is no success.
 * @throws {TypeError} When the network let no try through.
 */
export type ApiCall = <T = unknown>(
  url: string,
  body?: unknown,
  options?: ApiCallOptions<T>,
) => Promise<ApiResult<T>>;

/** The calls of {@link createApi}. */
export interface Api {
  apiPost: ApiCall;
  apiPut: ApiCall;
  apiPatch: ApiCall;
  apiDelete: ApiCall;
}

/** Options of {@link createApi}. */
export interface ApiOptions {
  /**
   * What every address starts with, for instance
   * `https://project.supabase.co/functions/v1/`.
   *
   * @default {"", and so the page's own address}
   */
  baseUrl?: string | undefined;
  /** Headers of each call; a function is asked anew for each. */
  headers?:
    | HeadersInit
    | (() => HeadersInit | Promise<HeadersInit>)
    | undefined;
  /**
   * Sends the requests. It has to match what is called.
   *
   * @default {createIdempotentFetch() that matches every request}
   */
  fetch?: IdempotentFetch | undefined;
}

/**
 * Makes `apiPost`, `apiPut`, `apiPatch` and `apiDelete` for an API whose changes
 * are idempotent: to call a function by them is to list it as protected.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createApi } from "./api.ts";
 * import { createIdempotentFetch } from "./idempotent_fetch.ts";
 * import { memoryStorage } from "./keys.ts";
 *
 * const { apiPost } = createApi({
 *   baseUrl: "http://x/functions/v1/",
 *   fetch: createIdempotentFetch({
 *     storage: memoryStorage(),
 *     fetch: () => Promise.resolve(Response.json({ total: 3 })),
 *   }),
 * });
 * const { data, replayed } = await apiPost<{ total: number }>("pos/sales", {});
 * assertEquals([data.total, replayed], [3, false]);
 * ```
 */
export function createApi(options: ApiOptions = {}): Api {
  const fetch = options.fetch ?? createIdempotentFetch({ match: () => true });
  return {
    apiPost: apiCall("POST", () => fetch, options),
    apiPut: apiCall("PUT", () => fetch, options),
    apiPatch: apiCall("PATCH", () => fetch, options),
    apiDelete: apiCall("DELETE", () => fetch, options),
  };
}

function apiCall(
  method: string,
  fetch: () => IdempotentFetch,
  { baseUrl = "", headers: given }: ApiOptions = {},
): ApiCall {
  return async (url, body, { headers, key, signal = null, parse } = {}) => {
    const sent = new Headers(
      typeof given === "function" ? await given() : given,
    );
    new Headers(headers).forEach((value, name) => sent.set(name, value));
    const isJson = !isBody(body);
    const content = isJson ? JSON.stringify(body) ?? null : body;
    if (isJson && content && !sent.has("content-type")) {
      sent.set("Content-Type", "application/json");
    }
    if (key) sent.set("Idempotency-Key", key);
    const init = { method, headers: sent, body: content, signal };
    const response = await fetch()(baseUrl + url, init);
    const problem = await problemOf(response);
    if (problem) throw problem;
    const text = await response.text();
    const type = response.headers.get("content-type") ?? "";
    // Not lines of JSON, and not the nothing that is often called JSON.
    const isData = text && /[/+]json\b/.test(type);
    const data = isData ? JSON.parse(text) : text || null;
    return {
      data: parse ? parse(data) : data,
      replayed: isReplayed(response),
      status: response.status,
      key: idempotencyKeyOf(response),
    };
  };
}

// Made when needed first, and shared by all four.
let plainFetch: IdempotentFetch | undefined;
const plain = () => plainFetch ??= createIdempotentFetch({ match: () => true });

/** `POST` to any address, without options of {@link createApi}. */
export const apiPost: ApiCall = /* @__PURE__ */ apiCall("POST", plain);
/** `PUT` to any address, without options of {@link createApi}. */
export const apiPut: ApiCall = /* @__PURE__ */ apiCall("PUT", plain);
/** `PATCH` to any address, without options of {@link createApi}. */
export const apiPatch: ApiCall = /* @__PURE__ */ apiCall("PATCH", plain);
/** `DELETE` to any address, without options of {@link createApi}. */
export const apiDelete: ApiCall = /* @__PURE__ */ apiCall("DELETE", plain);

/** Whether `fetch` takes it as it is; React Native tags no form and no file. */
function isBody(body: unknown): body is BodyInit {
  return Symbol.toStringTag in Object(body) ||
    body instanceof FormData || body instanceof Blob;
}
