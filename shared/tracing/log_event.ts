import { AsyncLocalStorage } from "node:async_hooks";
import {
  configureSync,
  getConfig,
  getJsonLinesFormatter,
  getLogger,
  type LogLevel,
  type LogRecord,
  type Sink,
} from "@logtape/logtape";
import { printLine, takeOverConsole } from "./console.ts";
import { redacting } from "./redacting.ts";
import { currentScope, scopeFields } from "./scope.ts";

const CATEGORY = ["tracing"];

const toJson = getJsonLinesFormatter({ properties: "flatten" });

const printJson: Sink = (record) =>
  printLine(record.level, toJson(record).trimEnd());

let isOurs = false;

/**
 * Configures LogTape to print JSON lines, unless the project has configured it:
 * then its own sinks get our lines, redacted.
 */
export function setUpLogging(): void {
  if (isOurs || getConfig() !== null) return;
  isOurs = true;
  configureSync({
    sinks: { json: redacting(printJson) },
    loggers: [
      { category: [], sinks: ["json"], lowestLevel: "info" },
      { category: ["logtape", "meta"], lowestLevel: "error" },
    ],
    contextLocalStorage: new AsyncLocalStorage<Record<string, unknown>>(),
  });
  takeOverConsole(logPrinted);
}

/**
 * Writes one line about what happens now, with the trace that it happens in:
 * one JSON object, redacted.
 *
 * @param event What happened, for instance `"REQUEST_COMPLETE"`.
 *
 * @example
 * ```ts
 * import { logEvent } from "./log_event.ts";
 *
 * logEvent("INVOICE_SENT", { lines: 3, to: "ada@example.com" });
 * // {…,"level":"INFO","message":"INVOICE_SENT",…,"lines":3,"to":"[redacted]"}
 * ```
 */
export function logEvent(
  event: string,
  fields: Readonly<Record<string, unknown>> = {},
  level: LogLevel = "info",
): void {
  setUpLogging();
  const scope = currentScope();
  const record: LogRecord = {
    category: CATEGORY,
    level,
    timestamp: Date.now(),
    message: [event],
    rawMessage: event,
    properties: { ...(scope && scopeFields(scope)), ...fields },
  };
  const emit: Sink = (record) => getLogger(CATEGORY).emit(record);
  if (isOurs) emit(record);
  else redacting(emit)(record);
}

/** A line that something printed: its texts, its errors, and whatever else. */
function logPrinted(level: LogLevel, values: readonly unknown[]): void {
  const texts = values.filter((value) => typeof value === "string");
  const error = values.find((value) => value instanceof Error);
  const others = values.filter((value) =>
    typeof value !== "string" && value !== error
  );
  logEvent("LOG", {
    text: texts.join(" "),
    ...(error === undefined ? {} : { error }),
    ...(others.length === 0 ? {} : { values: others }),
  }, level);
}
