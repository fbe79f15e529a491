/**
 * Imports every test file in and below a module's folder into its own module
 * graph: what the files load or start, such as a local stack or a browser, is
 * loaded and started once for all.
 *
 * @param module The module's `import.meta.url`.
 */
export async function importTests(module: string): Promise<void> {
  for (const file of testFiles(new URL(".", module))) await import(file);
}

function testFiles(folder: URL): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(new URL(`${name}/`, folder));
    return name.endsWith(".test.ts") ? [new URL(name, folder).href] : [];
  }).sort();
}
