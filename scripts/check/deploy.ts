import { parse } from "smol-toml";
import { z } from "zod";
import {
  type ApiRecorder,
  recordApi,
  type Upload,
} from "../../tests/support/api_recorder.ts";
import { type Check, type Problems, ROOT } from "./check.ts";
import { printed, runDeno } from "./command.ts";
import { runSupabase } from "./supabase_cli.ts";

const Config = z.object({
  functions: z.record(
    z.string(),
    z.object({
      entrypoint: z.string(),
      import_map: z.string(),
      verify_jwt: z.boolean().default(true),
    }),
  ).default({}),
});

const ModuleGraph = z.object({
  modules: z.array(
    z.object({ specifier: z.string(), error: z.string().optional() }),
  ),
});

// Tests and scripts may be imported by mistake, and would then be deployed.
const DEPLOYED = /^(functions|shared)\//;

/** Path below the repository's root, of a path in `supabase/config.toml`. */
function fromRoot(path: string): string {
  return new URL(path, new URL("supabase/", ROOT)).href.slice(ROOT.href.length);
}

/** The local modules that an entry point imports, itself included. */
async function localModules(entrypoint: string): Promise<Set<string>> {
  const result = await runDeno(["info", "--json", entrypoint]);
  if (result.code !== 0) {
    throw new Error(`read the imports of ${entrypoint}: ${printed(result)}`);
  }
  const modules = new Set<string>();
  for (
    const { specifier, error } of ModuleGraph.parse(JSON.parse(result.stdout))
      .modules
  ) {
    if (error !== undefined) {
      throw new Error(
        `read the imports of ${entrypoint}: ${specifier}: ${error}`,
      );
    }
    if (specifier.startsWith(ROOT.href)) {
      modules.add(specifier.slice(ROOT.href.length));
    }
  }
  return modules;
}

async function isSameFile(path: string, bytes: Uint8Array): Promise<boolean> {
  const source = await Deno.readFile(new URL(path, ROOT));
  return source.length === bytes.length &&
    source.every((byte, index) => byte === bytes[index]);
}

/** What is wrong with one function's upload. */
async function compare(
  name: string,
  declared: z.infer<typeof Config>["functions"][string],
  upload: Upload | undefined,
): Promise<string[]> {
  if (upload === undefined) return [`${name}: was not uploaded`];
  const problems: string[] = [];
  const entrypoint = fromRoot(declared.entrypoint);
  const importMap = fromRoot(declared.import_map);
  const expected = (await localModules(entrypoint)).add(importMap);
  for (const path of expected) {
    const bytes = upload.files.get(path);
    if (bytes === undefined) {
      problems.push(`${name}: the upload lacks ${path}, which it imports`);
    } else if (!await isSameFile(path, bytes)) {
      problems.push(`${name}: the upload of ${path} is not what the file says`);
    }
  }
  for (const path of upload.files.keys()) {
    if (!expected.has(path)) {
      problems.push(`${name}: the upload holds ${path}, which nothing imports`);
    } else if (path !== importMap && !DEPLOYED.test(path)) {
      problems.push(`${name}: imports ${path}, which is not to be deployed`);
    }
  }
  const stated = {
    entrypoint_path: entrypoint,
    import_map_path: importMap,
    verify_jwt: declared.verify_jwt,
  };
  for (const [field, value] of Object.entries(stated)) {
    if (upload.metadata[field] !== value) {
      problems.push(
        `${name}: the upload states ${field} ${
          JSON.stringify(upload.metadata[field])
        }, expected ${JSON.stringify(value)}`,
      );
    }
  }
  return problems;
}

/** Deploys every declared function to a recorder. */
async function deployTo(api: ApiRecorder): Promise<Problems> {
  const profile = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(
      profile,
      [
        "name: loopback",
        `api_url: ${api.url}`,
        `dashboard_url: ${api.url}`,
        "project_host: localhost",
      ].join("\n"),
    );
    const result = await runSupabase([
      "functions",
      "deploy",
      "--use-api",
      "--profile",
      profile,
      `--remote=${"a".repeat(20)}`,
    ], { env: { SUPABASE_ACCESS_TOKEN: `sbp_${"0".repeat(40)}` } });
    return result.code === 0 ? [] : [printed(result)];
  } finally {
    await Deno.remove(profile);
  }
}

/**
 * Deploys the functions as a user would, to a loopback API, and compares each
 * upload with what Deno says the function imports: the CLI finds imports with
 * a regular expression, so a bundle can lack a module that runs locally.
 */
async function run(): Promise<Problems> {
  const config = Config.parse(
    parse(await Deno.readTextFile(new URL("supabase/config.toml", ROOT))),
  );
  const names = Object.keys(config.functions);
  if (names.length === 0) {
    return ["supabase/config.toml declares no function"];
  }
  const api = recordApi();
  try {
    const problems = [...await deployTo(api)];
    for (const [name, declared] of Object.entries(config.functions)) {
      const upload = api.uploads.find(({ slug }) => slug === name);
      problems.push(...await compare(name, declared, upload));
    }
    return problems;
  } finally {
    await api.close();
  }
}

/** `supabase functions deploy` uploads what each function imports, no more. */
export const deployCheck: Check = { name: "deploy", needsPostgres: false, run };
