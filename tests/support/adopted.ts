import { assertEquals } from "@std/assert";
import { dirname, join } from "node:path";
import { printed, runDeno } from "../../scripts/check/command.ts";

/** A Supabase project on disk that took the module in. */
export interface AdoptedProject extends AsyncDisposable {
  /** The folder that contains `supabase/`. */
  readonly path: string;
  /** Writes files into it, by their paths. */
  write(files: Iterable<readonly [string, string]>): Promise<void>;
  /** Passes the type check, each file with no import map but the one given. */
  check(
    paths: readonly string[],
    imports?: Record<string, string>,
  ): Promise<void>;
}

/** Makes a project and puts the module into it, as its owner does. */
export async function adoptedProject(): Promise<AdoptedProject> {
  const path = await Deno.makeTempDir({ prefix: "adopted-" });
  const project: AdoptedProject = {
    path,
    async write(files) {
      for (const [name, text] of files) {
        await Deno.mkdir(dirname(join(path, name)), { recursive: true });
        await Deno.writeTextFile(join(path, name), text);
      }
    },
    async check(paths, imports = {}) {
      const map = join(path, "check.json");
      await Deno.writeTextFile(map, JSON.stringify({ imports }));
      const result = await runDeno(
        ["check", "--quiet", `--config=${map}`, "--no-lock", ...paths],
        { cwd: path },
      );
      assertEquals(result.code, 0, printed(result));
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
  await project.write([["supabase/config.toml", 'project_id = "theirs"\n']]);
  const result = await runDeno(["task", "--quiet", "adopt", path]);
  assertEquals(result.code, 0, printed(result));
  return project;
}
