/**
 * The other end of the wire: a `fetch` for browsers, Deno, Node and React
 * Native under which a change takes effect once, however often it is sent.
 *
 * @module
 */
export {
  idempotencyKeyOf,
  IdempotencyProblemError,
  isReplayed,
  problemOf,
} from "./client/answers.ts";
export {
  type Api,
  type ApiCall,
  type ApiCallOptions,
  apiDelete,
  type ApiOptions,
  apiPatch,
  apiPost,
  apiPut,
  type ApiResult,
  createApi,
} from "./client/api.ts";
export {
  type Attempt,
  createIdempotentFetch,
  type Fetch,
  type IdempotentFetch,
  type IdempotentFetchOptions,
} from "./client/idempotent_fetch.ts";
export {
  type KeyStorage,
  memoryStorage,
  newKey as generateIdempotencyKey,
} from "./client/keys.ts";
export { type AttemptEvent, type RetryOptions } from "./client/sending.ts";
