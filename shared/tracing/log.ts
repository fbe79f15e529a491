import { AsyncLocalStorage } from "node:async_hooks";
import {
  configureSync,
  getConfig,
  getJsonLinesFormatter,
  getLogger,
  type LogLevel,
  type LogRecord,
  type Sink,
} from "./deps.ts";
import { redacting } from "./redaction.ts";
import { currentScope, scopeFields } from "./scope.ts";

const CATEGORY = ["tracing"];

const toJson = getJsonLinesFormatter({ properties: "flatten" });

const printJson: Sink = (record) =>
  printLine(record.level, toJson(record).trimEnd());

const ours = redacting(printJson);

/** Whether the lines go to {@link ours}: a project may set LogTape up at any time. */
const isOurs = () => getConfig()?.sinks["json"] === ours;

/**
 * Configures LogTape to print JSON lines, unless the project has configured it:
 * then its own sinks get our lines, redacted.
 */
export function setUpLogging(): void {
  if (getConfig() !== null) return;
  configureSync({
    sinks: { json: ours },
    loggers: [
      { category: [], sinks: ["json"], lowestLevel: "info" },
      // What a function prints for debugging is printed without tracing too.
      {
        category: CATEGORY,
        sinks: ["json"],
        parentSinks: "override",
        lowestLevel: "trace",
      },
      { category: ["logtape", "meta"], lowestLevel: "error" },
    ],
    contextLocalStorage: new AsyncLocalStorage<Record<string, unknown>>(),
  });
  takeOverConsole();
}

/**
 * Writes one line about what happens now, with the trace that it happens in:
 * one JSON object, redacted.
 *
 * @param event What happened, for instance `"REQUEST_COMPLETE"`.
 *
 * @example
 * ```ts
 * import { logEvent } from "./log.ts";
 *
 * logEvent("INVOICE_SENT", { lines: 3, to: "ada@example.com" });
 * // {…,"message":"INVOICE_SENT",…,"lines":3,"to":"REDACTED@EMAIL.ADDRESS"}
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
    properties: { ...(scope && scopeFields(scope)), ...readable(fields) },
  };
  const emit: Sink = (record) => getLogger(CATEGORY).emit(record);
  if (isOurs()) emit(record);
  else redacting(emit)(record);
}

function readable(fields: object): object {
  try {
    return { ...fields };
  } catch {
    return { fields: "UNREADABLE" };
  }
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

const METHODS = [
  "debug",
  "dir",
  "dirxml",
  "error",
  "info",
  "log",
  "table",
  "trace",
  "warn",
] as const;

type Method = typeof METHODS[number];

const METHOD_OF: Record<LogLevel, Method> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  fatal: "error",
};

const LEVEL_OF: Record<Method, LogLevel> = {
  debug: "debug",
  dir: "info",
  dirxml: "info",
  error: "error",
  info: "info",
  log: "info",
  table: "info",
  trace: "trace",
  warn: "warning",
};

let printers: Record<Method, (...values: unknown[]) => void> | undefined;

/**
 * Turns what anything prints while a request is served (a library, the platform,
 * a forgotten `console.log`) into lines of that request: with its trace id, and
 * redacted. Outside of requests the console is as it was.
 */
function takeOverConsole(): void {
  if (printers !== undefined) return;
  const { assert, debug, dir, dirxml, error, info, log, trace, warn } = console;
  const table = console.table as typeof log;
  printers = { debug, dir, dirxml, error, info, log, table, trace, warn };
  for (const method of METHODS) {
    const print = printers[method];
    console[method] = (...values: unknown[]) =>
      currentScope() === undefined || !isOurs() ? print(...values) : logPrinted(
        LEVEL_OF[method],
        method === "trace" ? [...values, new Error("Trace")] : values,
      );
  }
  // Its own way leads past the console that others write to.
  console.assert = (condition?: boolean, ...values: unknown[]) => {
    if (currentScope() === undefined) assert(condition, ...values);
    else if (!condition) console.error("Assertion failed", ...values);
  };
}

/** Prints a line as it is, past {@link takeOverConsole}. */
function printLine(level: LogLevel, line: string): void {
  (printers ?? console)[METHOD_OF[level]](line);
}
