/**
 * What was written to the console meanwhile, a line each, and not shown.
 *
 * @param method Which method of the console to listen to.
 */
export async function heard(
  method: "error" | "log" | "warn",
  action: () => unknown,
): Promise<string[]> {
  const lines: string[] = [];
  const real = console[method];
  console[method] = (...values: unknown[]) =>
    void lines.push(values.map(String).join(" "));
  try {
    await action();
  } finally {
    console[method] = real;
  }
  return lines;
}
