import { assert } from "@std/assert";
import { guidedFiles, NAMES, withGuides } from "./project.ts";

const guides = withGuides();

// Where there is an import map, a function has names of its own in it; the app
// of Next.js has a package.json.
const HAS_NAMES = /^(app|supabase\/functions\/hello)\//;

Deno.test("the code of every guide passes the type check as it is", async () => {
  const files = (await guidedFiles()).map(({ path }) => path)
    .filter((path) => path.endsWith(".ts"));
  assert(files.length > 10);
  await guides().check(files, NAMES);
});

Deno.test("what a guide imports it names with its exact version", async () => {
  for (const { path, code } of await guidedFiles()) {
    if (HAS_NAMES.test(path)) continue;
    for (const [, name] of code.matchAll(/^(?:import|\}) .*from "(.+)";$/gm)) {
      const isExact = name!.startsWith("../_shared/") ||
        /^npm:(@[\w-]+\/)?[\w-]+@\d+\.\d+\.\d+$/.test(name!);
      assert(isExact, `${path} imports ${name}`);
    }
  }
});
