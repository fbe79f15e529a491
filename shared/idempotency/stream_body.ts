import { MAX_STORED_BYTES } from "./response.ts";

/** What becomes of a body that is passed through as it comes. */
export interface StreamEnd {
  /**
   * The body came to its end. When this throws, the client's body is cut off.
   *
   * @param body All of its bytes; `null` when they were too many to keep.
   */
  ended(body: Uint8Array | null): Promise<void>;
  /** The handler's stream failed, or the client went away. */
  aborted(reason: unknown): Promise<void>;
}

/**
 * Passes a body through as it comes and collects it on the way. Its end reaches
 * the client only after {@link StreamEnd.ended}: whoever saw the end can rely on
 * the replay.
 */
export function passThrough(
  body: ReadableStream<Uint8Array>,
  end: StreamEnd,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let parts: Uint8Array<ArrayBuffer>[] | null = [];
  let length = 0;

  const collect = (part: Uint8Array) => {
    length += part.byteLength;
    if (length > MAX_STORED_BYTES) parts = null;
    // A copy: the chunk's buffer may be handed on.
    else parts?.push(part.slice());
  };

  let isCancelled = false;

  const readNext = async () => {
    try {
      return await reader.read();
    } catch (error) {
      await end.aborted(error);
      throw error;
    }
  };

  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await readNext();
      // Cancelling ends a pending read as the end of the body would.
      if (isCancelled) return;
      if (!done) {
        collect(value);
        return controller.enqueue(value);
      }
      await end.ended(
        parts && new Uint8Array(await new Blob(parts).arrayBuffer()),
      );
      controller.close();
    },
    async cancel(reason) {
      isCancelled = true;
      await Promise.allSettled([
        reader.cancel(reason),
        end.aborted(reason ?? new Error("The client went away")),
      ]);
    },
  });
}
