import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { Socket } from "node:net";
import type pg from "pg";

// What may wait in memory before the server is told to pause.
const HIGH_WATER_BYTES = 1 << 20;

/** The side of pg's connection that `COPY` needs. */
interface CopyConnection {
  stream: Socket;
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
}

/** What pg calls while a query of ours is the active one. */
interface Submittable {
  submit(connection: CopyConnection): void;
  handleRowDescription(): void;
  handleDataRow(): void;
  handleEmptyQuery(): void;
  handleCommandComplete(): void;
  handleReadyForQuery(): void;
  handleError(error: Error): void;
  handleCopyInResponse(connection: CopyConnection): void;
  handleCopyData(message: { chunk: Uint8Array }): void;
}

function submit(client: pg.Client, query: Submittable): void {
  (client.query as (query: Submittable) => unknown)(query);
}

/**
 * Streams what `copy … to stdout` gives, a line at a time without its end.
 * Reads no faster than it is consumed.
 *
 * @throws the server's error, also in the middle
 */
export async function* copyOut(
  client: pg.Client,
  text: string,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let waiting: string[] = [];
  let bytes = 0;
  let ended = false;
  let failure: Error | undefined;
  let socket: Socket | undefined;
  let wake = () => {};
  submit(client, {
    submit(connection) {
      socket = connection.stream;
      connection.query(text);
    },
    handleRowDescription() {},
    handleDataRow() {},
    handleEmptyQuery() {},
    handleCommandComplete() {},
    handleCopyInResponse() {},
    handleCopyData({ chunk }) {
      // The driver reuses the memory of the chunk: it is read at once. One
      // message is one row in the text format.
      waiting.push(decoder.decode(chunk).slice(0, -1));
      bytes += chunk.length;
      if (bytes > HIGH_WATER_BYTES) socket?.pause();
      wake();
    },
    handleReadyForQuery() {
      ended = true;
      wake();
    },
    handleError(error) {
      failure = error;
      ended = true;
      wake();
    },
  });
  while (true) {
    if (waiting.length === 0 && !ended) {
      await new Promise<void>((resolve) => wake = resolve);
      continue;
    }
    const lines = waiting;
    waiting = [];
    bytes = 0;
    socket?.resume();
    yield* lines;
    if (ended && waiting.length === 0) break;
  }
  if (failure) throw failure;
}

/**
 * Sends lines to `copy … from stdin`, each without its end.
 *
 * @throws the server's error, or what reading `lines` threw
 */
export async function copyIn(
  client: pg.Client,
  text: string,
  lines: AsyncIterable<string>,
): Promise<void> {
  const ready = Promise.withResolvers<CopyConnection>();
  const done = Promise.withResolvers<void>();
  let failed = false;
  submit(client, {
    submit: (connection) => connection.query(text),
    handleRowDescription() {},
    handleDataRow() {},
    handleEmptyQuery() {},
    handleCommandComplete() {},
    handleCopyData() {},
    handleCopyInResponse: ready.resolve,
    handleReadyForQuery: () => done.resolve(),
    handleError(error) {
      failed = true;
      ready.reject(error);
      done.reject(error);
    },
  });
  // Each is awaited below; until then a failure of it is nobody's business.
  ready.promise.catch(() => {});
  done.promise.catch(() => {});
  const connection = await ready.promise;
  try {
    for await (const line of lines) {
      if (failed) break;
      connection.sendCopyFromChunk(Buffer.from(`${line}\n`));
      if (connection.stream.writableNeedDrain) {
        await Promise.race([once(connection.stream, "drain"), done.promise]);
      }
    }
  } catch (error) {
    connection.sendCopyFail((error as Error).message);
    await done.promise.catch(() => {});
    throw error;
  }
  connection.endCopyFrom();
  await done.promise;
}
