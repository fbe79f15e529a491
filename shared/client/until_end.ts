/**
 * The same answer, passed through as it comes.
 *
 * @param signal Ends it half-way.
 * @param ended Called when it has come to its end.
 */
export function untilEnd(
  response: Response,
  signal: AbortSignal | null | undefined,
  ended: () => Promise<void>,
): Response {
  const { body, url } = response;
  if (!body || !globalThis.TransformStream) {
    // Nobody can tell here when it ends.
    void ended();
    return response;
  }
  const end = new TransformStream<Uint8Array<ArrayBuffer>>({ flush: ended });
  const passed = body.pipeThrough(end, signal ? { signal } : {});
  const copy = new Response(passed, response);
  return Object.defineProperty(copy, "url", { value: url });
}
