/**
 * The other end of the wire: a `fetch` for browsers, Deno, Node and React
 * Native under which a change takes effect once, however often it is sent.
 *
 * @module
 */
export { idempotencyKeyOf, isReplayed } from "./client/answers.ts";
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
export { type Attempt } from "./client/attempt.ts";
export {
  createIdempotentFetch,
  type IdempotentFetch,
} from "./client/idempotent_fetch.ts";
export {
  type AttemptEvent,
  type IdempotentFetchOptions,
  type RetryOptions,
} from "./client/options.ts";
export { type Fetch } from "./client/outgoing.ts";
export { IdempotencyProblemError, problemOf } from "./client/problem_error.ts";
export { type KeyStorage, memoryStorage } from "./client/storage.ts";
