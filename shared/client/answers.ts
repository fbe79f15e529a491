const keys = new WeakMap<Response, string>();

/** Whether an answer repeats the one that an earlier try got. */
export function isReplayed(response: Response): boolean {
  return response.headers.get("x-idempotency-replay") === "true";
}

/** Whether the server has recorded an answer: every retry would get it. */
export function isRecorded(response: Response): boolean {
  return isReplayed(response) ||
    response.headers.get("x-idempotency-stored") === "true";
}

/**
 * The key that the request of an answer was sent under, to send a follow-up of
 * the same intention with. `undefined` where the answer did not come through
 * `createIdempotentFetch`, or its request was left alone.
 */
export function idempotencyKeyOf(response: Response): string | undefined {
  return keys.get(response);
}

/** Notes the key that the request of an answer was sent under. */
export function noteKey(response: Response, key: string): Response {
  keys.set(response, key);
  return response;
}
