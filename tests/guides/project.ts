import { join } from "node:path";
import configuration from "../../deno.json" with { type: "json" };
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { type AdoptedProject, adoptedProject } from "../support/adopted.ts";
import {
  codeBlocks,
  type DocumentedFile,
  documentedFiles,
  pages,
} from "../support/documented.ts";
import { databaseOptions } from "../support/stack.ts";

/** A project that took the module in and holds what every guide says. */
export interface GuidedProject extends AdoptedProject {
  stack: Stack;
  /** Sends what pg_net would send, once each, and answers what came back. */
  sendRequests(): Promise<Response[]>;
  /** The page's SQL, with the project's address and key in place of the names. */
  sql(page: string): Promise<string[]>;
  /** How many rows there are in a table. */
  count(table: string, column?: string, value?: string): Promise<number>;
}

/** What the guides say a project has in its environment. */
export const SECRETS = {
  WEBHOOK_SECRETS: ["new", "old"].map((age) =>
    `whsec_${btoa(`the ${age} secret of the tests`)}`
  ),
  COMPLETION_SECRETS: ["new", "old"].map((age) =>
    `whsec_${btoa(`the ${age} secret of the tests`)}`
  ),
  STRIPE_WEBHOOK_SECRET: ["whsec_new", "whsec_old", "whsec_connect"],
};

// One for all files: it takes longer to start than a guide to follow.
let starting: Promise<GuidedProject> | undefined;
let files = 0;

/**
 * Follows all guides in a new project, and serves it with the local stack for
 * the test file that calls this.
 *
 * @returns The project, for use inside the tests.
 */
export function withGuides(): () => GuidedProject {
  let project: GuidedProject | undefined;
  Deno.test.beforeAll(async () => {
    files++;
    project = await (starting ??= start());
  });
  Deno.test.beforeEach(() => void (Deno.exitCode = 0));
  Deno.test.afterEach(() => void (Deno.exitCode = 0));
  Deno.test.afterAll(async () => {
    if (--files > 0 || project === undefined) return;
    await project.stack.close();
    await project[Symbol.asyncDispose]();
  });
  return () => {
    if (project === undefined) throw new Error("The project is not served yet");
    return project;
  };
}

/** Every file that a guide tells its reader to write. */
export async function guidedFiles(): Promise<DocumentedFile[]> {
  const guides = (await pages()).filter((page) => page.startsWith("guides/"));
  return (await Promise.all(guides.map(documentedFiles))).flat();
}

async function start(): Promise<GuidedProject> {
  const project = await followedGuides();
  const stack = await startStack({
    port: 0,
    demo: false,
    supabaseDir: join(project.path, "supabase"),
    ...databaseOptions(),
  });
  return {
    ...project,
    stack,
    sendRequests: async () => {
      const queued = await stack.sql<
        { url: string; headers: Record<string, string>; body: unknown }
      >(
        "with sent as (delete from net.http_request_queue returning *) select * from sent order by id",
      );
      return await Promise.all(
        queued.map(({ url, headers, body }) =>
          fetch(url, {
            method: "POST",
            headers,
            body: JSON.stringify(body),
          })
        ),
      );
    },
    sql: async (page) =>
      (await codeBlocks(page, "sql")).map((code) =>
        code.replaceAll("https://<project>.supabase.co", stack.apiUrl)
          .replaceAll("<secret key>", stack.secretKey)
      ),
    count: async (table, column, value) => {
      const [row] = await stack.sql<{ count: string }>(
        `select count(*) from public.${table}` +
          (column === undefined ? "" : ` where ${column}::text = $1`),
        value === undefined ? [] : [value],
      );
      return Number(row!.count);
    },
  };
}

/** The project as its owner has it after following every guide. */
async function followedGuides(): Promise<AdoptedProject> {
  const project = await adoptedProject();
  const files = new Map<string, string>();
  let config = CONFIG;
  for (const { path, code } of await guidedFiles()) {
    if (path === "supabase/config.toml") config += code;
    else if (files.has(path)) throw new Error(`Two guides write ${path}`);
    else files.set(path, code);
  }
  files.set("supabase/config.toml", config);
  for (const [name, change] of Object.entries(TEMPLATE_VARIANTS)) {
    const path = TEMPLATE.replace("hello", name);
    files.set(path, files.get(TEMPLATE)!.replace(...change));
  }
  for (const [at, name] of ["platform", "tables"].entries()) {
    files.set(
      `supabase/migrations/2026010${at + 1}000000_${name}.sql`,
      await Deno.readTextFile(new URL(`${name}.sql`, import.meta.url)),
    );
  }
  const [quotas] = await codeBlocks("guides/quotas.md", "sql");
  files.set("supabase/migrations/20260103000000_quotas.sql", quotas!);
  files.set("supabase/functions/hello/deno.json", TEMPLATE_IMPORTS);
  // Another isolate than that of the first version.
  files.set("supabase/functions/orders-v2/deno.json", "{}");
  files.set(
    "supabase/functions/.env",
    Object.entries(SECRETS)
      .map(([name, values]) => `${name}=${values.join(",")}\n`).join(""),
  );
  await project.write(files);
  return project;
}

const TEMPLATE = "supabase/functions/hello/index.ts";

/** What the page says of the template in a sentence rather than in code. */
const TEMPLATE_VARIANTS: Record<string, [from: string, to: string]> = {
  "hello-users": ['"publishable", "secret"', '"user", "secret"'],
  "hello-visitors": ['scope: "hello"', 'scope: "hello", callers: "project"'],
};

/** What `supabase functions new` has written, as far as it matters here. */
const TEMPLATE_IMPORTS = JSON.stringify({
  imports: {
    "@supabase/functions-js": "jsr:@supabase/functions-js@^2",
    "@supabase/server": "npm:@supabase/server@^1",
  },
});

/** What a project's `package.json` names, for Deno. */
export const NAMES = {
  ...Object.fromEntries(
    (["@supabase/server", "@supabase/ssr", "@supabase/supabase-js"] as const)
      .map((name) => [name, configuration.imports[name]]),
  ),
  "supabase-idempotency": "./supabase/functions/_shared/idempotency.ts",
};

const CONFIG = `project_id = "guided"

[api]
schemas = ["public", "graphql_public", "pgmq_public"]
${
  ["hello", ...Object.keys(TEMPLATE_VARIANTS)].map((name) => `
[functions.${name}]
verify_jwt = false
`).join("")
}
`;
