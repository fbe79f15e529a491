import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { cp } from "node:fs/promises";
import { ROOT } from "../../scripts/check/check.ts";
import { printed, runDeno } from "../../scripts/check/command.ts";

const SHARED = new URL("shared/", ROOT);
const NO_PROJECT = ["--no-config", "--no-lock", "--quiet"];

// What other projects ask of their code, and so of what is copied into them.
const COMPILERS: Record<string, Record<string, boolean>> = {
  "a strict compiler": {
    declaration: true,
    erasableSyntaxOnly: true,
    exactOptionalPropertyTypes: true,
    isolatedDeclarations: true,
    noImplicitOverride: true,
    noImplicitReturns: true,
    noPropertyAccessFromIndexSignature: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    strict: true,
    verbatimModuleSyntax: true,
  },
  "a compiler that is not strict": { strict: false },
};

const PARTS = ["archive", "client", "idempotency", "sequences", "tracing"];

for (const part of PARTS) {
  Deno.test(`a copy of ${part} loads where there is nothing else`, async () => {
    await using folder = await copies();
    const args = ["run", "--no-prompt", "--allow-env", ...NO_PROJECT];
    const cwd = `${folder.path}/${part}`;
    const result = await runDeno([...args, `${part}.ts`], { cwd });
    assertEquals(result.code, 0, printed(result));
  });
}

for (const [name, compilerOptions] of Object.entries(COMPILERS)) {
  Deno.test(`each copy passes ${name} where there is nothing else`, async () => {
    await using folder = await copies();
    const { path } = folder;
    await Deno.writeTextFile(
      `${path}/deno.json`,
      JSON.stringify({ compilerOptions }),
    );
    const files = PARTS.map((part) => `${part}/${part}.ts`);
    const args = ["check", "--no-lock", "--quiet", ...files];
    const result = await runDeno(args, { cwd: path });
    assertEquals(result.code, 0, printed(result));
  });
}

/** A folder with the parts in it, each in one of its own and beside nothing else. */
async function copies(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir();
  for (const part of PARTS) {
    for (const name of [part, `${part}.ts`]) {
      const source = new URL(name, SHARED);
      if (!existsSync(source)) continue;
      await cp(source, `${path}/${part}/${name}`, { recursive: true });
    }
  }
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
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
