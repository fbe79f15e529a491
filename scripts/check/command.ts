import { ROOT } from "./check.ts";

/** How to run a command. */
export interface CommandOptions {
  /** Variables added to the environment. */
  readonly env?: Record<string, string>;
  /** Text for its standard input. @default nothing */
  readonly input?: string;
  /** Folder to run in. @default the repository's root */
  readonly cwd?: string | URL;
  /** Milliseconds after which it is ended. @default no limit */
  readonly timeoutMs?: number;
}

/** How a command ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end and keeps what it printed. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const child = new Deno.Command(command, {
    args: [...args],
    cwd: options.cwd ?? ROOT,
    env: { NO_COLOR: "1", ...options.env },
    stdin: options.input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    ...(options.timeoutMs === undefined
      ? {}
      : { signal: AbortSignal.timeout(options.timeoutMs) }),
  }).spawn();
  if (options.input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.input));
    await writer.close();
  }
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return {
    code,
    stdout: decoder.decode(stdout),
    stderr: decoder.decode(stderr),
  };
}

/** Everything a command printed, for a report of its failure. */
export function printed(result: CommandResult): string {
  return [result.stdout, result.stderr].map((text) => text.trim()).filter(
    Boolean,
  ).join("\n");
}

/** Runs this same Deno with other arguments. */
export function runDeno(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return runCommand(Deno.execPath(), args, options);
}
