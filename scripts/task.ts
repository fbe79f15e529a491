import { parseArgs, type ParseArgsConfig } from "node:util";
import { UsageError, WRONG_USAGE } from "./cli/command.ts";

/**
 * Reads what a task of this repository is told. `--help` prints its usage, in
 * the form of the command line's, and ends the process.
 *
 * @throws {UsageError} When there is an option that the task does not know, or a
 * word.
 */
export function taskOptions<
  const Options extends NonNullable<ParseArgsConfig["options"]>,
>(usage: string, options: Options, args?: readonly string[]) {
  return parseTask(usage, options, false, args).values;
}

/** As {@link taskOptions}, of a task that takes words beside options. */
export function taskWords<
  const Options extends NonNullable<ParseArgsConfig["options"]>,
>(usage: string, options: Options) {
  return parseTask(usage, options, true);
}

function parseTask<
  const Options extends NonNullable<ParseArgsConfig["options"]>,
>(
  usage: string,
  options: Options,
  allowPositionals: boolean,
  args: readonly string[] = Deno.args,
) {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(`${usage}\n  --help               this text`);
    Deno.exit(0);
  }
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options,
      allowPositionals,
    });
    return { values, words: positionals as readonly string[] };
  } catch (error) {
    throw wrongUsage((error as Error).message, usage);
  }
}

/**
 * Reads a task's arguments; what is wrong with them is printed, and ends the
 * process with exit code 2.
 *
 * @param task Its name, as `deno task` knows it.
 */
export function readTask<Arguments>(
  task: string,
  read: () => Arguments,
): Arguments {
  try {
    return read();
  } catch (error) {
    console.error(`${task}: ${(error as Error).message}`);
    Deno.exit(WRONG_USAGE);
  }
}

/** Says what is wrong with a command line, and how it is written. */
export function wrongUsage(message: string, usage: string): UsageError {
  return new UsageError(`${message}. ${usage.split("\n", 1)[0]}`);
}
