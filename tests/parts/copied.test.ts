import { assert, assertEquals } from "@std/assert";
import { cp } from "node:fs/promises";
import { ROOT } from "../../scripts/check/check.ts";
import { printed, runDeno } from "../../scripts/check/command.ts";

const SHARED = new URL("shared/", ROOT);
const NO_PROJECT = ["--no-config", "--no-lock", "--quiet"];

for (const part of ["archive", "client", "sequences", "tracing"]) {
  Deno.test(`a copy of ${part} type-checks and loads where there is nothing else`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const { name } of Deno.readDirSync(SHARED)) {
        if (name !== part && name !== `${part}.ts`) continue;
        await cp(new URL(name, SHARED), `${folder}/${name}`, {
          recursive: true,
        });
      }
      for (
        const command of [["check"], ["run", "--no-prompt", "--allow-env"]]
      ) {
        const args = [...command, ...NO_PROJECT, `${part}.ts`];
        const result = await runDeno(args, { cwd: folder });
        assertEquals(result.code, 0, printed(result));
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("what is pinned inline is what this repository is tested with", async () => {
  const { imports } = await import("../../deno.json", {
    with: { type: "json" },
  }).then((module) => module.default as { imports: Record<string, string> });
  const tested = new Set(
    Object.values(imports).filter((one) => one.startsWith("npm:"))
      .map(packageOf),
  );
  const names = new Set([...tested].map(nameOf));
  const pinned = (await sources(SHARED)).flatMap((source) =>
    [...source.matchAll(/^(?:import|export|\}).*"(npm:[^"]+)"/gm)]
      .map(([, specifier]) => packageOf(specifier!))
  );
  assert(pinned.length > 0);
  assertEquals(
    pinned.filter((one) => names.has(nameOf(one)) && !tested.has(one)),
    [],
  );
});

/** `npm:@scope/name@1.2.3` of a specifier that may go on. */
function packageOf(specifier: string): string {
  return /^npm:(?:@[^/]+\/)?[^/]+/.exec(specifier)![0];
}

function nameOf(pinned: string): string {
  return pinned.slice(0, pinned.lastIndexOf("@"));
}

async function sources(folder: URL): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) found.push(...await sources(new URL(`${name}/`, folder)));
    else found.push(await Deno.readTextFile(new URL(name, folder)));
  }
  return found;
}
