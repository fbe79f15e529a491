import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
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

const ESCAPES: Record<string, string> = {
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
};
const MEANINGS = Object.fromEntries(
  Object.entries(ESCAPES).map(([character, escape]) => [escape, character]),
);

/** Takes a line of COPY's text format apart: a text for each column, or null. */
export function readCopyLine(line: string, columns: number): (string | null)[] {
  if (columns === 0) return [];
  return line.split("\t").map((field) =>
    field === "\\N"
      ? null
      : field.replaceAll(/\\[bfnrtv\\]/g, (escape) => MEANINGS[escape]!)
  );
}

/** Puts a line of COPY's text format together. */
export function writeCopyLine(values: readonly (string | null)[]): string {
  return values.map((value) =>
    value === null
      ? "\\N"
      : value.replaceAll(/[\b\f\n\r\t\v\\]/g, (each) => ESCAPES[each]!)
  ).join("\t");
}

/**
 * Settings under which the text of every value is exact and the same
 * everywhere. They last as long as the transaction.
 */
export const EXACT_TEXT = `
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local extra_float_digits = 3;
set local bytea_output = 'hex';
set local xmloption = 'content';
set local search_path = '';
set local row_security = off;
set local statement_timeout = 0`;

/** Rows and their checksum, which does not depend on their order. */
export interface RowSum {
  rows: number;
  /** The sum of the SHA-256 of all lines, modulo 2^256, in hexadecimal. */
  checksum: string;
}

/** Adds lines of COPY's text format up. */
export function createRowSum(): {
  add(line: string): void;
  sum(): RowSum;
} {
  let rows = 0;
  let total = 0n;
  return {
    add(line) {
      rows++;
      total += BigInt(`0x${createHash("sha256").update(line).digest("hex")}`);
    },
    sum: () => ({
      rows,
      checksum: BigInt.asUintN(256, total).toString(16).padStart(64, "0"),
    }),
  };
}

/** Splits a stream of UTF-8 into lines, at line feeds only. */
export async function* linesOf(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}
