/**
 * Runs an action and lists the calls to the Data API that were made meanwhile,
 * by the test or by functions of the stack in this process, such as
 * `rpc/idempotency_claim`.
 */
export async function databaseCalls(
  action: () => Promise<unknown>,
): Promise<string[]> {
  const calls: string[] = [];
  const real = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    if (pathname.startsWith("/rest/v1/")) calls.push(pathname.slice(9));
    return real(input, init);
  };
  try {
    await action();
  } finally {
    globalThis.fetch = real;
  }
  return calls;
}

/** {@link databaseCalls} without the statistics, which are sent in the background. */
export async function tripsOf(
  action: () => Promise<unknown>,
): Promise<string[]> {
  const calls = await databaseCalls(action);
  return calls.filter((call) => call !== "rpc/idempotency_count_replays");
}
