import { existsSync } from "node:fs";

const ROOT = new URL("../../", import.meta.url);

/** Every page there is, by its path from `docs/`, the README among them. */
export async function pages(): Promise<string[]> {
  const found = ["../README.md"];
  for (const folder of ["", "guides/", "recipes/"]) {
    const url = new URL(`docs/${folder}`, ROOT);
    if (!existsSync(url)) continue;
    for await (const { name } of Deno.readDir(url)) {
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

/**
 * The files that a page has its reader write, by their paths in the reader's
 * project: code blocks whose first line is a comment with that path.
 *
 * @throws {Error} When two blocks of the page are to be the same file.
 */
export async function documentedFiles(
  page: string,
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const language of ["ts", "tsx", "sql", "toml"]) {
    for (const code of await codeBlocks(page, language)) {
      const path = /^(?:\/\/|--|#) ([\w@./-]+\/[\w.-]+)\n/.exec(code)?.[1];
      if (path === undefined) continue;
      if (files.has(path)) throw new Error(`${page} has ${path} twice`);
      files.set(path, code);
    }
  }
  return files;
}

/** Imports a code block as the module that its reader would make of it. */
// deno-lint-ignore no-explicit-any -- whatever the block exports
export async function importBlock(code: string): Promise<any> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  const local = code.replaceAll(
    /(\.\.\/)+(?=(shared|functions)\/)/g,
    ROOT.href,
  );
  await Deno.writeTextFile(file, local);
  try {
    return await import(new URL(`file://${file}`).href);
  } finally {
    await Deno.remove(file);
  }
}
