import { basename, dirname, join } from "node:path";
import { runDeno } from "../check/command.ts";
import type { Mutant } from "./mutant.ts";

/**
 * Those mutants that the type check lets through, all in one run of it: each is
 * laid beside the file that it breaks, and imports what that imports.
 */
export async function wellTyped(
  home: string,
  mutants: readonly Mutant[],
): Promise<Mutant[]> {
  const paths = new Map<string, Mutant>();
  for (const mutant of mutants) {
    if (!mutant.file.endsWith(".ts")) continue;
    const name = `mutant_${paths.size}_${basename(mutant.file)}`;
    paths.set(join(home, dirname(mutant.file), name), mutant);
  }
  if (paths.size === 0) return [...mutants];
  try {
    for (const [path, { text }] of paths) await Deno.writeTextFile(path, text);
    const { stderr } = await runDeno(
      ["check", "--quiet", "--cached-only", ...paths.keys()],
      { cwd: home },
    );
    const refused = [...paths].filter(([path]) => stderr.includes(path))
      .map(([, mutant]) => mutant);
    return mutants.filter((mutant) => !refused.includes(mutant));
  } finally {
    for (const path of paths.keys()) await Deno.remove(path);
  }
}
