import type { LogLevel } from "@logtape/logtape";
import { currentScope } from "./scope.ts";

const METHODS = ["debug", "error", "info", "log", "warn"] as const;

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
  error: "error",
  info: "info",
  log: "info",
  warn: "warning",
};

/** Takes over what is printed within a trace. */
export type OnPrinted = (level: LogLevel, values: readonly unknown[]) => void;

let printers: Record<Method, (...values: unknown[]) => void> | undefined;

/**
 * Turns what anything prints while a request is served (a library, the platform,
 * a forgotten `console.log`) into lines of that request: with its trace id, and
 * redacted. Outside of requests the console is as it was.
 */
export function takeOverConsole(onPrinted: OnPrinted): void {
  if (printers !== undefined) return;
  const { debug, error, info, log, warn } = console;
  printers = { debug, error, info, log, warn };
  for (const method of METHODS) {
    const print = printers[method];
    console[method] = (...values: unknown[]) =>
      currentScope() === undefined
        ? print(...values)
        : onPrinted(LEVEL_OF[method], values);
  }
}

/** Prints a line as it is, past {@link takeOverConsole}. */
export function printLine(level: LogLevel, line: string): void {
  (printers ?? console)[METHOD_OF[level]](line);
}
