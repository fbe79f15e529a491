import { assertEquals } from "@std/assert";
import { cp } from "node:fs/promises";
import { ROOT } from "../../scripts/check/check.ts";
import { printed, runDeno } from "../../scripts/check/command.ts";

const APP = `
import { createApi, createIdempotentFetch, problemOf } from "./client.ts";

export const send: typeof fetch = createIdempotentFetch({
  storage: localStorage,
  onAttempt: ({ type, delayMs }) => console.log(type, delayMs),
});

export async function order(item: string, signal: AbortSignal): Promise<number> {
  const { apiPost } = createApi({ baseUrl: "/functions/v1/" });
  const { data } = await apiPost<{ id: number }>("orders", { item }, { signal });
  return data.id;
}

export const codeOf = async (response: Response) =>
  (await problemOf(response))?.code;
`;

const STRICT = {
  target: "ES2022",
  lib: ["ES2022", "DOM"],
  types: [],
  module: "ESNext",
  moduleResolution: "bundler",
  allowImportingTsExtensions: true,
  noEmit: true,
  strict: true,
};

const STRICTER = {
  ...STRICT,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noPropertyAccessFromIndexSignature: true,
  noUncheckedIndexedAccess: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  isolatedModules: true,
  verbatimModuleSyntax: true,
};

for (
  const [version, compilerOptions] of [
    ["5.4.5", STRICT],
    ["7.0.2", STRICT],
    ["7.0.2", STRICTER],
  ] as const
) {
  const how = compilerOptions === STRICT ? "strict" : "as strict as can be";
  Deno.test(`an app for browsers compiles the client with TypeScript ${version}, ${how}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const name of ["client", "client.ts"]) {
        await cp(new URL(`shared/${name}`, ROOT), `${folder}/${name}`, {
          recursive: true,
        });
      }
      await Deno.writeTextFile(`${folder}/app.ts`, APP);
      await Deno.writeTextFile(
        `${folder}/tsconfig.json`,
        JSON.stringify({ compilerOptions, files: ["app.ts"] }),
      );
      const result = await runDeno([
        "run",
        "-A",
        "--no-config",
        "--no-lock",
        "--quiet",
        `npm:typescript@${version}/tsc`,
        "--project",
        folder,
      ], { cwd: folder });
      assertEquals(result.code, 0, printed(result));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
