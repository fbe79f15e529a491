/**
 * Imports every test file beside a module into its own module graph: what the
 * files start, such as a local stack or a browser, is started once for all.
 *
 * @param module The module's `import.meta.url`.
 */
export async function importTests(module: string): Promise<void> {
  const files = [...Deno.readDirSync(new URL(".", module))]
    .map(({ name }) => name)
    .filter((name) => name.endsWith(".test.ts"))
    .sort();
  for (const file of files) await import(new URL(file, module).href);
}
