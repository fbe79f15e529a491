import { assertEquals } from "@std/assert";
import { cp } from "node:fs/promises";
import { ROOT } from "../../scripts/check/check.ts";
import { printed, runDeno } from "../../scripts/check/command.ts";

const APP = `
import {
  createApi,
  createIdempotentFetch,
  idempotencyKeyOf,
  problemOf,
} from "./client.ts";

// As the types of Bun add it.
declare global {
  namespace fetch {
    function preconnect(url: string): void;
  }
}

export const send: typeof fetch = createIdempotentFetch({
  storage: localStorage,
  onAttempt: ({ type, delayMs }) => console.log(type, delayMs),
});

export async function order(item: string, signal: AbortSignal): Promise<number> {
  const { apiPost } = createApi({ baseUrl: "/functions/v1/" });
  const { data } = await apiPost<{ id: number }>("orders", { item }, { signal });
  return data.id;
}

// What an app may have or not.
export const again = (
  first: Response,
  options: {
    url?: string | undefined;
    signal?: AbortSignal | undefined;
    storage?: Storage | undefined;
    attempts?: number | undefined;
  },
) =>
  createApi({
    baseUrl: options.url,
    headers: undefined,
    fetch: createIdempotentFetch({
      storage: options.storage,
      retry: { attempts: options.attempts },
    }),
  }).apiPost<unknown>("orders", {}, {
    key: idempotencyKeyOf(first),
    signal: options.signal,
    headers: undefined,
  });

export const codeOf = async (response: Response) =>
  (await problemOf(response))?.code;
`;

const FORM = `
import { type FormEvent, useActionState } from "react";
import { apiPost } from "./client.ts";
import { useIdempotentMutation } from "./react.ts";

export function Sale({ total }: { total: number }) {
  const { submit, isSubmitting, data, error } = useIdempotentMutation(
    async (sale: { total: number }, { key }) =>
      (await apiPost<{ receipt: string }>("/sales", sale, { key })).data,
    { name: "sale" },
  );
  const [, sell, isPending] = useActionState(
    async (_: string, form: FormData) =>
      (await submit({ total: Number(form.get("total")) })).receipt,
    "",
  );
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    submit({ total }).catch(() => {});
  };
  return (
    <form onSubmit={onSubmit}>
      <button disabled={isSubmitting}>Sell</button>
      <button formAction={sell} disabled={isPending}>Sell by action</button>
      <output>{error ? "failed" : data?.receipt}</output>
    </form>
  );
}
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
  jsx: "react-jsx",
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

// As `npm create vite` writes it for React.
const VITE = {
  ...STRICT,
  lib: ["ES2022", "DOM", "DOM.Iterable"],
  useDefineForClassFields: true,
  skipLibCheck: true,
  verbatimModuleSyntax: true,
  moduleDetection: "force",
  noUnusedLocals: true,
  noUnusedParameters: true,
  noFallthroughCasesInSwitch: true,
};

const HOW = new Map<object, string>([
  [STRICT, "strict"],
  [VITE, "in a Vite and React app"],
  [STRICTER, "as strict as can be"],
]);

/** Puts the types of React where a compiler looks for them. */
async function installReact(folder: string) {
  const { imports } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", ROOT)),
  );
  const version = imports["@types/react"].split("@").at(-1);
  await cp(new URL("deno.lock", ROOT), `${folder}/deno.lock`);
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    '{"nodeModulesDir":"auto"}',
  );
  await Deno.writeTextFile(
    `${folder}/package.json`,
    JSON.stringify({ dependencies: { "@types/react": version } }),
  );
  const result = await runDeno(["install", "--quiet"], { cwd: folder });
  assertEquals(result.code, 0, printed(result));
}

for (
  const [version, compilerOptions] of [
    ["5.4.5", STRICT],
    ["5.4.5", VITE],
    ["7.0.2", {
      ...VITE,
      erasableSyntaxOnly: true,
      noUncheckedSideEffectImports: true,
    }],
    ["7.0.2", STRICTER],
  ] as const
) {
  const how = HOW.get(compilerOptions) ?? HOW.get(VITE);
  Deno.test(`an app for browsers compiles the client with TypeScript ${version}, ${how}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const name of ["client", "client.ts", "react.ts"]) {
        await cp(new URL(`shared/${name}`, ROOT), `${folder}/${name}`, {
          recursive: true,
        });
      }
      await installReact(folder);
      await Deno.writeTextFile(`${folder}/app.ts`, APP);
      await Deno.writeTextFile(`${folder}/form.tsx`, FORM);
      await Deno.writeTextFile(
        `${folder}/tsconfig.json`,
        JSON.stringify({ compilerOptions, files: ["app.ts", "form.tsx"] }),
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
