import { join } from "node:path";

/** The command line behind `deno task dev`. */
export const DEV_SCRIPT = join(import.meta.dirname!, "../../scripts/dev.ts");

/** A local stack in a process of its own. */
export interface Dev {
  /** What it printed, by name. */
  settings(): Map<string, string>;
  /** What it printed after that, once it has ended. */
  output(): string;
  /** Ends the process, and answers what is left of it. */
  stop(signal: Deno.Signal): Promise<{ code: number; stderr: string }>;
}

/** Starts `deno task dev`, and waits until it is ready. */
export async function startDev(
  args: string[],
  env: Record<string, string> = {},
): Promise<Dev> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", DEV_SCRIPT, ...args],
    env,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(child.stderr).text();
  let stdout = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!stdout.endsWith("\nready\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The stack did not start: ${await stderr}`);
    stdout += value;
  }
  const ready = stdout.length;
  const rest = (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      stdout += value;
    }
  })();
  return {
    output: () => stdout.slice(ready),
    settings: () =>
      new Map(
        stdout.slice(0, ready).trimEnd().split("\n").slice(0, -1).map(
          (line) => {
            const [, name, value] = /^([A-Z_]+)=(.+)$/.exec(line) ?? [];
            return [name!, value!] as const;
          },
        ),
      ),
    stop: async (signal) => {
      child.kill(signal);
      const { code } = await child.status;
      await rest;
      return { code, stderr: await stderr };
    },
  };
}
