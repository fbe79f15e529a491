const ROOT = new URL("../../", import.meta.url);

/** Every page there is, by its path from `docs/`, the README among them. */
export async function pages(): Promise<string[]> {
  const found = ["../README.md"];
  for (const folder of ["", "guides/", "recipes/"]) {
    for await (
      const { name } of Deno.readDir(new URL(`docs/${folder}`, ROOT))
    ) {
      if (name.endsWith(".md")) found.push(`${folder}${name}`);
    }
  }
  return found.sort();
}

/**
 * The code blocks of a page in `docs/`, in the order they stand there.
 *
 * @param page Its path from `docs/`.
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

/** A code block that a page says a file of the reader's project holds. */
export interface DocumentedFile {
  /** From the project's root. */
  path: string;
  code: string;
}

/**
 * The files that a page tells its reader to write: the code blocks that start
 * with a comment of nothing but a path.
 */
export async function documentedFiles(page: string): Promise<DocumentedFile[]> {
  const blocks = await codeBlocks(page, "\\w+");
  return blocks.flatMap((code) => {
    const path = /^(?:\/\/|--|#) ([\w./-]+\.\w+)\n/.exec(code)?.[1];
    return path === undefined ? [] : [{ path, code }];
  });
}

/** Imports a code block as the module that its reader would make of it. */
// deno-lint-ignore no-explicit-any -- whatever the block exports
export async function importBlock(code: string): Promise<any> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  const local = code
    .replaceAll(/(\.\.\/)+(?=(shared|functions)\/)/g, ROOT.href)
    .replaceAll("../_shared/", `${ROOT.href}shared/`);
  await Deno.writeTextFile(file, local);
  try {
    return await import(new URL(`file://${file}`).href);
  } finally {
    await Deno.remove(file);
  }
}
