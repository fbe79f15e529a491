import configuration from "../deno.json" with { type: "json" };
import { ROOT } from "./check/check.ts";
import { PACKAGE } from "./cli/release.ts";

/**
 * Where examples are that run: the modules, and what is written about them. Those
 * that say which file of a project they are run there: tests/docs/.
 */
async function documented(): Promise<string[]> {
  const files = ["shared", "functions"];
  for (
    const folder of [
      ".",
      "docs",
      "docs/recipes",
      "skills/supabase-idempotency",
    ]
  ) {
    for await (const { name } of Deno.readDir(new URL(`${folder}/`, ROOT))) {
      if (!name.endsWith(".md")) continue;
      const text = await Deno.readTextFile(new URL(`${folder}/${name}`, ROOT));
      if (!/^```ts\n\/\/ supabase\//m.test(text)) {
        files.push(`${folder}/${name}`);
      }
    }
  }
  return files;
}

/**
 * Lets Deno do something with the examples: `deno test --doc` runs them, and
 * `deno check --doc` looks at their types. Those of the documents import the
 * module as a project does, from `../_shared/` or from the package. That it lies
 * in `shared/` here is no matter of deno.json: each function would be deployed
 * with all that its import map names.
 *
 * @param use Gets what those commands take beside their name.
 */
export async function withExamples<T>(
  use: (args: readonly string[]) => Promise<T>,
): Promise<T> {
  const shared = new URL("shared/", ROOT).href;
  const map = await Deno.makeTempFile({ suffix: ".json" });
  const imports = {
    ...configuration.imports,
    // What deno.json says without saying it: a package brings what is below it.
    ...Object.fromEntries(
      Object.entries(configuration.imports)
        .filter(([, to]) => /^npm:(@[^/]+\/)?[^/]+$/.test(to))
        .map(([name, to]) => [`${name}/`, to.replace("npm:", "npm:/") + "/"]),
    ),
    ...Object.fromEntries(
      Object.entries(configuration.exports).map(([entry, path]) => [
        entry.replace(".", PACKAGE),
        new URL(path, ROOT).href,
      ]),
    ),
    [new URL("_shared/", ROOT).href]: shared,
    [new URL("docs/_shared/", ROOT).href]: shared,
  };
  try {
    await Deno.writeTextFile(map, JSON.stringify({ imports }));
    return await use([`--import-map=${map}`, ...await documented()]);
  } finally {
    await Deno.remove(map);
  }
}
