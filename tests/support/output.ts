/** What was printed while it was recorded. */
export interface Output {
  /** All of it, as printed. */
  text(): string;
  /** Those lines that are JSON objects. */
  // deno-lint-ignore no-explicit-any -- a test looks into whatever was logged
  lines(event?: string): Record<string, any>[];
}

let recorded: string[] | undefined;

// As soon as this module is loaded, which is before anything is logged: tracing
// takes the console over as it finds it, once in a process.
for (const method of ["debug", "error", "info", "log", "warn"] as const) {
  const print = console[method];
  console[method] = (...values: unknown[]) =>
    recorded === undefined
      ? print(...values)
      : void recorded.push(values.map(shown).join(" "));
}

/** Runs a test, and records what this process prints meanwhile in place of printing it. */
export async function withOutput(
  test: (output: Output) => void | Promise<void>,
): Promise<void> {
  const printed: string[] = recorded = [];
  const writeSync = Deno.stderr.writeSync;
  Deno.stderr.writeSync = (bytes) => {
    printed.push(new TextDecoder().decode(bytes));
    return bytes.length;
  };
  try {
    await test({
      text: () => printed.join("\n"),
      lines: (event) =>
        printed.filter((line) => line.startsWith("{"))
          .map((line) => JSON.parse(line))
          .filter(({ message }) => event === undefined || message === event),
    });
  } finally {
    recorded = undefined;
    Deno.stderr.writeSync = writeSync;
  }
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : Deno.inspect(value);
}
