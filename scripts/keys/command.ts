import { outcomeHeaders } from "../../shared/idempotency/response.ts";
import { parseOptions, UsageError } from "../cli/command.ts";
import type { Resolution } from "./operator.ts";

/** What the command line asks for. */
export type Command =
  & {
    readonly databaseUrl: string | undefined;
    /** The project's folder. */
    readonly project: string;
    /** Whether to only say what would be done. */
    readonly isDryRun: boolean;
    readonly yes: boolean;
  }
  & (
    | { readonly name: "list"; readonly limit: number; readonly json: boolean }
    | { readonly name: "resolve"; readonly resolution: Resolution }
  );

/**
 * Reads the command line.
 *
 * @throws {UsageError} When it is not as `keys --help` says.
 */
export function parseCommand(args: readonly string[]): Command {
  const { values, positionals } = parse(args);
  const { "database-url": databaseUrl, "dry-run": isDryRun } = values;
  const { project, yes } = values;
  const common = { databaseUrl, isDryRun, project, yes };
  const { limit, json = false, scope, user, as, status, body, header, note } =
    values;
  const rest = { scope, user, as, status, body, header, note };
  const [name, ...operands] = positionals;
  if (name === "list" && operands.length === 0) {
    refuseOptions("list", rest);
    const number = wholeNumber("--limit", limit ?? "100", 1, 1000);
    return { name, ...common, limit: number, json };
  }
  if (name === "resolve") {
    const [key, ...more] = operands;
    if (key === undefined) {
      throw new UsageError(
        "name the key: resolve KEY --scope SCOPE --as completed or failed",
      );
    }
    if (more.length > 0) {
      throw new UsageError(`name one key, not ${operands.join(" and ")}`);
    }
    refuseOptions("resolve", { limit, json: json || undefined });
    return { name, ...common, resolution: resolutionOf(key, rest) };
  }
  throw new UsageError(
    positionals.length === 0
      ? "say what to do: list or resolve"
      : `"${positionals.join(" ")}" is not a command`,
  );
}

interface ResolveOptions {
  scope?: string | undefined;
  user?: string | undefined;
  as?: string | undefined;
  status?: string | undefined;
  body?: string | undefined;
  header?: string[] | undefined;
  note?: string | undefined;
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  return parseOptions(args, {
    limit: text,
    json: { type: "boolean" },
    scope: text,
    user: text,
    as: text,
    status: text,
    body: text,
    header: { ...text, multiple: true },
    note: text,
  }, "any");
}

function resolutionOf(key: string, options: ResolveOptions): Resolution {
  const { scope, user: userId = null, as, note = null } = options;
  if (scope === undefined) {
    throw new UsageError(`name the scope of "${key}" with --scope`);
  }
  if (userId === "") {
    throw new UsageError(
      "--user is empty: name the user, or leave it out for the project itself",
    );
  }
  if (as === "failed") {
    const { status, body, header } = options;
    refuseOptions("resolve --as failed", { status, body, header });
    const none = { status: null, body: null, headers: null };
    return { userId, scope, key, as, note, ...none };
  }
  if (as !== "completed") {
    throw new UsageError(
      as === undefined
        ? "say how it ended with --as completed or --as failed"
        : `--as ${as}: expected completed or failed`,
    );
  }
  if (options.status === undefined) {
    throw new UsageError("--as completed needs the answer's --status");
  }
  const status = wholeNumber("--status", options.status, 200, 599);
  const { body = null } = options;
  const headers = headersOf(options.header ?? [], body);
  return { userId, scope, key, as, status, body, headers, note };
}

function headersOf(
  lines: readonly string[],
  body: string | null,
): Record<string, string> {
  const headers = new Headers();
  for (const line of lines) {
    const [, name = "", value = ""] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
    try {
      headers.append(name, value);
    } catch {
      throw new UsageError(`--header "${line}": expected NAME:VALUE`);
    }
    if (!(name.toLowerCase() in outcomeHeaders(headers))) {
      throw new UsageError(
        `--header "${line}": ${name} belongs to one answer, it is not kept`,
      );
    }
  }
  if (body !== null && isJson(body) && !headers.has("content-type")) {
    headers.set("content-type", "application/json");
  }
  return Object.fromEntries(headers);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function wholeNumber(
  option: string,
  text: string,
  min: number,
  max: number,
): number {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (number >= min && number <= max) return number;
  throw new UsageError(
    `${option} ${text}: expected a number from ${min} to ${max}`,
  );
}

function refuseOptions(where: string, options: object): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    throw new UsageError(`--${name} does not go with ${where}`);
  }
}
