const ROOT = new URL("../../", import.meta.url);

/**
 * The code blocks of a page in `docs/`, in the order they stand there.
 *
 * @param language What is written after the fence, for instance `"sql"`.
 */
export async function codeBlocks(
  page: string,
  language: string,
): Promise<string[]> {
  const text = await Deno.readTextFile(new URL(`docs/${page}`, ROOT));
  const fenced = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms");
  return [...text.matchAll(fenced)].map(([, code]) => code!);
}

/** Imports a code block as the module that its reader would make of it. */
// deno-lint-ignore no-explicit-any -- whatever the block exports
export async function importBlock(code: string): Promise<any> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  const shared = new URL("shared/", ROOT).href;
  await Deno.writeTextFile(file, code.replaceAll(/(\.\.\/)+shared\//g, shared));
  try {
    return await import(new URL(`file://${file}`).href);
  } finally {
    await Deno.remove(file);
  }
}
