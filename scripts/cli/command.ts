import { createInterface } from "node:readline";
import process from "node:process";
import { parseArgs, type ParseArgsConfig } from "node:util";

/** One thing that the program does: `supabase-idempotency <name>`. */
export interface Command {
  /** What it does, in a line. */
  readonly summary: string;
  /** How it is called, for a person: what `--help` prints. */
  usage(): string | Promise<string>;
  /** Does it; answers the exit code. */
  run(args: readonly string[]): Promise<number | void>;
}

/** The exit code of a command line that asks for nothing that there is. */
export const WRONG_USAGE = 2;

/** Thrown when the command line asks for nothing that there is. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Thrown when a command cannot do its part; the message says what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** What every command understands, as `--help` tells it. */
export const COMMON_OPTIONS = `
  --project DIR        the project, the folder that contains supabase/; here by default
  --database-url URL   its database, in place of SUPABASE_URL and SUPABASE_SECRET_KEY;
                       better kept out of the list of processes, in DATABASE_URL
  --dry-run            say what would be done, and do nothing
  --yes                do it without asking
  --help               this text

Variables that the environment lacks are read from .env in the project.`;

const COMMON = {
  "project": { type: "string", default: "." },
  "database-url": { type: "string" },
  "dry-run": { type: "boolean", default: false },
  "yes": { type: "boolean", short: "y", default: false },
} as const;

/**
 * Reads a command line: the options of every command, and further ones.
 *
 * @param words What may stand in it beside options. Where it is none, a word is
 * told to mean nothing; of commands on a project it is taken for that.
 * @throws {UsageError} When there is an option that the command does not know, or
 * a word that it does not take.
 */
export function parseOptions<
  const Options extends NonNullable<ParseArgsConfig["options"]>,
>(
  args: readonly string[],
  options: Options,
  words: "any" | "none" | "none, but a project" = "none",
) {
  const parsed = parsedArgs(args, options);
  const { positionals: [word, ...more] } = parsed;
  if (words === "any" || word === undefined) return parsed;
  throw new UsageError(
    words === "none"
      ? `"${[word, ...more].join(" ")}" means nothing here`
      : `name the project with --project ${word}`,
  );
}

function parsedArgs<
  const Options extends NonNullable<ParseArgsConfig["options"]>,
>(args: readonly string[], options: Options) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { ...COMMON, ...options },
    });
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

// In this repository the commands for operators are tasks of their own.
const TASKS = /^(stats|keys|ops|cleanup|migrate)\b/;

/** How a command is called where this program runs: `keys list`. */
export function commandLine(command: string): string {
  if (!process.argv[1]?.endsWith(".ts")) {
    return `supabase-idempotency ${command}`;
  }
  return TASKS.test(command)
    ? `deno task ${command}`
    : `deno task cli ${command}`;
}

/** How a change may be made; from the command line. */
export interface Consent {
  readonly "dry-run": boolean;
  readonly yes: boolean;
}

/**
 * Whether to do what was just said: `--yes`, or the answer of whoever is there.
 *
 * @throws {CommandError} When nobody is there to be asked.
 */
export async function mayProceed(consent: Consent): Promise<boolean> {
  if (consent["dry-run"]) return false;
  if (consent.yes) return true;
  if (!process.stdin.isTTY) {
    throw new CommandError(
      "nothing was changed, because nobody is here to be asked: --yes does it, --dry-run only says it",
    );
  }
  return await isYes();
}

/**
 * Whether to do what was just said, for commands that a scheduler may start: at a
 * terminal whoever is there is asked, elsewhere it is meant.
 */
export async function isMeant({ yes }: Pick<Consent, "yes">): Promise<boolean> {
  return yes || !process.stdin.isTTY || await isYes();
}

/** Asks at the terminal; to end the question there (Ctrl-C, Ctrl-D) is no yes. */
async function isYes(): Promise<boolean> {
  const terminal = createInterface({
    input: process.stdin,
    output: process.stdout,
    prompt: "\nDo this? [y/N] ",
  });
  const answer = await new Promise<string>((resolve) => {
    terminal.once("line", resolve);
    terminal.once("close", () => resolve(""));
    terminal.once("SIGINT", () => terminal.close());
    terminal.prompt();
  });
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}
