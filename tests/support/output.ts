/** What was printed since recording began. */
export interface Output {
  /** All of it, as printed. */
  text(): string;
  /** Those lines that are JSON objects. */
  // deno-lint-ignore no-explicit-any -- a test looks into whatever was logged
  lines(event?: string): Record<string, any>[];
  /** Forgets what was printed so far. */
  clear(): void;
}

/**
 * Records what this process prints, by the console or past it. To be called
 * before anything is logged; what is printed is not shown.
 */
export function recordOutput(): Output {
  let printed: string[] = [];
  for (const method of ["debug", "error", "info", "log", "warn"] as const) {
    console[method] = (...values: unknown[]) =>
      void printed.push(values.map(shown).join(" "));
  }
  const { stderr } = Deno;
  const write = stderr.writeSync.bind(stderr);
  stderr.writeSync = (bytes) => {
    printed.push(new TextDecoder().decode(bytes));
    return write(bytes);
  };
  return {
    text: () => printed.join("\n"),
    lines: (event) =>
      printed.filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line))
        .filter(({ message }) => event === undefined || message === event),
    clear: () => void (printed = []),
  };
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : Deno.inspect(value);
}
