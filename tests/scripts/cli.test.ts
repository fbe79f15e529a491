import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import postgres from "postgres";
import { printed, runCommand } from "../../scripts/check/command.ts";
import { CommandError } from "../../scripts/cli/command.ts";
import {
  carryOut,
  checksum,
  openFolder,
  stampsFor,
} from "../../scripts/cli/project_folder.ts";
import { VERSION } from "../../scripts/cli/release.ts";
import {
  hasPgBouncer,
  startPgBouncer,
} from "../../scripts/cluster/pgbouncer.ts";
import { findPostgres } from "../../scripts/cluster/postgres.ts";
import { adoptedCluster } from "../../scripts/cluster/supabase_cluster.ts";
import { explain } from "../../scripts/project.ts";
import { atTerminal, cli } from "../support/cli.ts";
import { withStack } from "../support/stack.ts";

const SHARED = "supabase/functions/_shared";
const MANIFEST = `${SHARED}/idempotency.manifest.json`;

// What Postgres is sent first by whoever wants TLS.
const SSL_REQUEST = 80877103;

const stack = withStack();

async function withProject(
  test: (project: {
    path: string;
    run: (...args: string[]) => ReturnType<typeof cli>;
    read: (path: string) => Promise<string>;
    write: (path: string, text: string) => Promise<void>;
    migrations: () => string[];
  }) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "cli-" });
  const migrations = join(path, "supabase/migrations");
  try {
    await Deno.mkdir(migrations, { recursive: true });
    await test({
      path,
      run: (command, ...args) => cli([command!, "--project", path, ...args]),
      read: (file) => Deno.readTextFile(join(path, file)),
      async write(file, text) {
        await Deno.mkdir(join(path, file, ".."), { recursive: true });
        await Deno.writeTextFile(join(path, file), text);
      },
      migrations: () =>
        [...Deno.readDirSync(migrations)].map(({ name }) => name).sort(),
    });
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

Deno.test("every command has --help, and there is one text of all of them", async () => {
  const { code, text } = await cli(["--help"]);
  assertEquals(code, 0);
  const names = [...text.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name!);
  assertEquals(names, [
    ...["init", "upgrade", "remove", "doctor"],
    ...["stats", "keys", "ops", "cleanup", "migrate"],
  ]);
  const helps = await Promise.all(names.map((name) => cli([name, "--help"])));
  helps.forEach(({ code, text }, index) => {
    assertEquals(code, 0, text);
    assertStringIncludes(text, names[index]!);
    assertStringIncludes(text, "--project");
    assertStringIncludes(text, "--database-url");
    assertStringIncludes(text, "--dry-run");
  });
  assertEquals((await cli([])).code, 2);
  const unknown = await cli(["innit"]);
  assertEquals(unknown.code, 2);
  assertMatch(unknown.text, /^"innit" is not a command\nUsage:/);
});

Deno.test("what is new to a project comes after its newest migration and a minute from now at most", () => {
  const now = Date.UTC(2026, 0, 31, 23, 59, 58);
  const stamps = (names: string[], count = 1) => stampsFor(names, count, now);
  const none = { versions: ["20260131235958"], beyond: null };
  assertEquals(stamps([]), none);
  assertEquals(stamps(["20251231000000_a.sql", "0001_b.sql"]), none);
  assertEquals(stamps(["20260131235958_a.sql"], 3), {
    versions: ["20260131235959", "20260201000000", "20260201000001"],
    beyond: null,
  });
  assertEquals(stamps(["20260201000057_a.sql"]), {
    versions: ["20260201000058"],
    beyond: null,
  });
  for (const name of ["20260201000058_a.sql", "20270101000000_a.sql"]) {
    assertEquals(stamps([name]), { ...none, beyond: name });
  }
  assertEquals(stamps(["99_a.sql"]), { ...none, beyond: "99_a.sql" });
  assertEquals(stamps(["20260131235958_a.sql", "99_a.sql"]), {
    versions: ["20260131235959"],
    beyond: "99_a.sql",
  });
});

Deno.test("init says what to do where the newest migration is in the future", () =>
  withProject(async ({ run, write, migrations }) => {
    await write("supabase/migrations/20990101000000_late.sql", "");
    const { code, text } = await run("init", "--yes");
    assertEquals(code, 0, text);
    assertStringIncludes(
      text,
      "20990101000000_late.sql is dated in the future",
    );
    assertStringIncludes(text, "supabase db push --include-all");
    assertEquals(migrations().length, 2);
  }));

Deno.test("init changes nothing where nobody can be asked", () =>
  withProject(async ({ run, migrations }) => {
    const { code, text } = await run("init");
    assertEquals(code, 1);
    assertStringIncludes(text, `would add ${MANIFEST}`);
    assertStringIncludes(text, "--yes does it, --dry-run only says it");
    assertEquals(migrations(), []);
  }));

for (const [key, typed] of [["Ctrl-C", "\x03"], ["Ctrl-D", "\x04"]] as const) {
  Deno.test(`${key} at the question of init is a no`, () =>
    withProject(async ({ path, migrations }) => {
      const { code, text } = await atTerminal(
        [
          ...["run", "-A", "--no-check", "scripts/cli.ts"],
          ...["init", "--project", path],
        ],
        typed,
      );
      const [, after] = text.split("[y/N]");
      // A terminal is told where its cursor is.
      assertMatch(after!, /^\s*\S{0,8}\s*$/);
      assertEquals(code, 0);
      assertEquals(migrations(), []);
    }));
}

Deno.test("init twice is init once", () =>
  withProject(async ({ run, read }) => {
    await run("init", "--yes", "--parts", "archive");
    const manifest = await read(MANIFEST);
    const { code, text } = await run("init");
    assertEquals(code, 0, text);
    assertMatch(text, /(\d+) of \1 files were there already/);
    assertEquals(await read(MANIFEST), manifest);
  }));

Deno.test("init takes parts, one at a time too, and remembers them", () =>
  withProject(async ({ run, read, migrations }) => {
    const first = await run("init", "--yes", "--parts", "client,archive");
    assertEquals(first.text.match(/protect a function/g)?.length, 1);
    const { code, text } = await run(
      ...["init", "--yes", "--parts", "sequences,migrate"],
    );
    assertEquals(code, 0, text);
    // How to protect a function was said with the ledger.
    assertMatch(
      text,
      /\nNext, in the project: supabase db push, with --remote to the linked project$/,
    );
    assertEquals(
      [...text.matchAll(/would replace (.*)/g)].map(([, path]) => path),
      [MANIFEST],
    );
    assertEquals(
      migrations().map((name) => name.slice(15)),
      ["idempotency.sql", "archive.sql", "sequences.sql"],
    );
    const manifest = JSON.parse(await read(MANIFEST));
    assertEquals(manifest.version, VERSION);
    assertEquals(manifest.parts, ["client", "archive", "sequences", "migrate"]);
    assertEquals(Object.values(manifest.migrations), migrations());
    for (const name of migrations()) {
      assertStringIncludes(await read(`supabase/rollback/${name}`), name);
    }
    assert(`${SHARED}/client/sending.ts` in manifest.files);
    assert(!(`${SHARED}/idempotency/testing.ts` in manifest.files));
    for (const name of ["clients", "toString"]) {
      const { code, text } = await run("init", "--parts", name);
      assertEquals(code, 2);
      assertStringIncludes(text, `--parts ${name}: there are client,`);
    }
    const two = await run("init", "other");
    assertEquals(two.code, 2);
    assertStringIncludes(two.text, "name one project, not other and ");
  }));

Deno.test("a migration that was given another date is still the one", () =>
  withProject(async ({ path, run, migrations }) => {
    await run("init", "--yes", "--parts", "archive");
    const folder = join(path, "supabase/migrations");
    const names = migrations().map((name) => [name, name.replace(/^../, "19")]);
    for (const [name, older] of names) {
      await Deno.rename(join(folder, name!), join(folder, older!));
    }
    const doctor = await run("doctor");
    assertStringIncludes(doctor.text, "as they were written");
    const again = await run("init", "--yes", "--parts", "client");
    assertEquals(again.code, 0, again.text);
    assertEquals(migrations(), names.map(([, older]) => older));
    assertStringIncludes((await run("init")).text, "were there already");
    assertEquals((await run("remove", "--yes")).code, 0);
    assertEquals(migrations().length, names.length + 1);
  }));

Deno.test("a part whose name the project uses already overwrites nothing", () =>
  withProject(async ({ run, read, write, migrations }) => {
    const theirs = "supabase/migrations/20250101000000_archive.sql";
    await write(theirs, "create table archive ();");
    await write(`${SHARED}/client.ts`, "// theirs\n");
    const refused = await run("init", "--yes", "--parts", "client,archive");
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.text, `  ${SHARED}/client.ts`);
    assertEquals(migrations().length, 1);
    const { code, text } = await run("init", "--yes", "--parts", "archive");
    assertEquals(code, 0, text);
    assertEquals(migrations().length, 3);
    assertEquals(await read(theirs), "create table archive ();");
  }));

Deno.test("init names what a project makes itself by a name of the ledger's", () =>
  withProject(async ({ run, write, migrations }) => {
    await write(
      "supabase/migrations/20250101000000_keys.sql",
      `CREATE TABLE IF NOT EXISTS "public"."idempotency_keys" (key text);
-- drop table idempotency_keys;
create table app.idempotency_stats (key text);
create schema idempotency;
create or replace function cleanup_expired_idempotency_keys() returns void
language sql as $$ delete from idempotency_keys $$;`,
    );
    const { code, text } = await run("init", "--yes");
    assertEquals(code, 1, text);
    for (
      const what of [
        "table idempotency_keys",
        "schema idempotency",
        "function cleanup_expired_idempotency_keys",
      ]
    ) {
      assertStringIncludes(text, `  ${what}, in 20250101000000_keys.sql`);
    }
    assertStringIncludes(text, "Rename yours in a migration of your own");
    assertEquals(migrations().length, 1);
    await write(
      "supabase/migrations/20250102000000_rename.sql",
      `alter table public.idempotency_keys rename to old_keys;
alter schema idempotency rename to old_idempotency;
drop function cleanup_expired_idempotency_keys();`,
    );
    for (const command of ["init", "remove", "init"]) {
      const { code, text } = await run(command, "--yes");
      assertEquals([command, code], [command, 0], text);
    }
  }));

Deno.test("init says what a declared schema lacks", () =>
  withProject(async ({ run, write }) => {
    const config = (paths: string) =>
      write(
        "supabase/config.toml",
        `[db.migrations]\nschema_paths = [${paths}]`,
      );
    const paths = `"./migrations/*_idempotency*.sql"`;
    const said = async () => (await run("init", "--dry-run")).text;
    await config(`"./mine/*.sql"`);
    assertStringIncludes(
      await said(),
      `schema_paths = ["./mine/*.sql",${paths}]`,
    );
    for (const enough of ["", `"./mine/*.sql", ${paths}`]) {
      await config(enough);
      assert(!(await said()).includes("schema_paths"), enough);
    }
    // Which the Supabase CLI takes where none is named.
    await write("supabase/schemas/mine.sql", "create table mine ();");
    await config("");
    assertStringIncludes(
      await said(),
      `schema_paths = ["./schemas/**/*.sql",${paths}]`,
    );
  }));

Deno.test("init --force-vendor restores what was edited", () =>
  withProject(async ({ run, read, write }) => {
    await run("init", "--yes");
    const file = `${SHARED}/idempotency/key.ts`;
    const text = await read(file);
    await write(file, `${text}// mine\n`);
    assertEquals((await run("init", "--yes")).code, 1);
    assertEquals((await run("init", "--yes", "--force-vendor")).code, 0);
    assertEquals(await read(file), text);
  }));

Deno.test("remove deletes what init wrote, and keeps what was edited since", () =>
  withProject(async ({ run, read, write, migrations, path }) => {
    await run("init", "--yes", "--parts", "tracing");
    const mine = `${SHARED}/idempotency/key.ts`;
    const text = `${await read(mine)}// mine\n`;
    await write(mine, text);
    await write(
      "supabase/functions/hello/index.ts",
      `import { withIdempotency } from "../_shared/idempotency.ts";\n`,
    );
    const seen = await run("remove", "--dry-run");
    assertStringIncludes(seen.text, `keeps ${mine}: it was edited`);
    assertStringIncludes(seen.text, "function hello imports the module");
    assertStringIncludes(seen.text, "the database was not asked");
    assertEquals(migrations().length, 1);
    assertEquals((await run("remove", "--yes")).code, 0);
    assertEquals(
      migrations().map((name) => name.slice(15)),
      ["idempotency.sql", "remove_idempotency.sql"],
    );
    const left = [...Deno.readDirSync(join(path, SHARED))];
    assertEquals(left.map(({ name }) => name), ["idempotency"]);
    assertEquals(await read(mine), text);
    const { text: found } = await run("doctor");
    assertMatch(
      found,
      /WRONG function hello: it imports .*_shared\/idempotency\.ts, which is not there.*\n.*take the module out of it and deploy it, or put/,
    );
    const again = await run("remove", "--yes");
    assertEquals(again.code, 1);
    assertStringIncludes(again.text, "nothing that this program put there");
  }));

Deno.test("doctor sees what is wrong with functions, and how to mend it", () =>
  withProject(async ({ run, write }) => {
    const module =
      `import { withIdempotency } from "../_shared/idempotency.ts";`;
    await run("init", "--yes");
    await write(
      "supabase/functions/stock/index.ts",
      `${module}
export default { fetch: withSupabase({ auth: "user" }, withIdempotency({}, serve)) };`,
    );
    await write(
      "supabase/functions/usual/index.ts",
      `${module}
import { corsHeaders } from "../_shared/cors.ts";
Deno.serve(withIdempotency(
  { scope: "usual" },
  () => new Response("ok", { headers: corsHeaders }),
));`,
    );
    await write(
      "supabase/functions/own/index.ts",
      `${module}
import { corsHeaders } from "../_shared/cors.ts";
Deno.serve(withIdempotency(
  { supabase: createClient(url, key, { auth: {} }), cors: corsHeaders },
  () => new Response("ok", { headers: corsHeaders }),
));`,
    );
    await write(
      `${SHARED}/cors.ts`,
      `export const corsHeaders = { "Access-Control-Allow-Headers": "apikey" };`,
    );
    await write("supabase/functions/open/index.ts", module);
    await write(
      "supabase/functions/keys/index.ts",
      `${module}
import { corsHeaders } from "../_shared/idempotency.ts";
export default { fetch: withSupabase({ auth: ["publishable", "secret"] }, serve) };`,
    );
    await write("supabase/functions/other/index.ts", "Deno.serve(serve);");
    await write(
      "supabase/functions/wrapped/index.ts",
      `import { serve } from "../_shared/serve.ts";`,
    );
    await write(
      `${SHARED}/serve.ts`,
      `import { serve } from "./idempotency_setup.ts";`,
    );
    await write(
      `${SHARED}/idempotency_setup.ts`,
      `import { corsHeaders, withIdempotency } from "./idempotency.ts";`,
    );
    await write(
      "supabase/functions/listing/index.ts",
      `Deno.readDir(new URL("../_shared/templates", import.meta.url));`,
    );
    await write(`${SHARED}/templates/welcome.html`, "<p>Hello");
    await write(
      "supabase/config.toml",
      "[functions.open]\nverify_jwt = false\n",
    );
    const { code, text } = await run("doctor");
    assertEquals(code, 1, text);
    for (const name of ["stock", "usual"]) {
      assertMatch(text, new RegExp(`WRONG function ${name}: its CORS headers`));
    }
    assertMatch(text, /WRONG function open: verify_jwt = false/);
    assertMatch(text, /WRONG function keys: it takes publishable or secret/);
    for (const name of ["own", "wrapped"]) {
      assertStringIncludes(text, `ok    function ${name}: CORS and verify_jwt`);
    }
    assert(!text.includes("function other"), text);
    assertStringIncludes(text, "-     database: not looked at");
    assertStringIncludes(text, "4 to mend");
    const key = `"Access-Control-Allow-Headers": "apikey, idempotency-key"`;
    for (
      const [headers, isWrong] of [
        [key, true],
        [`${key}, "Access-Control-Allow-Methods": "POST, OPTIONS"`, false],
        [`...supabaseCorsHeaders, ${key}`, false],
      ] as const
    ) {
      await write(
        `${SHARED}/cors.ts`,
        `export const corsHeaders = { ${headers} };`,
      );
      const { text } = await run("doctor");
      assertEquals(text.includes("WRONG function usual"), isWrong, headers);
    }
  }));

Deno.test({
  name: "doctor and remove look through links, and past what is no source",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withProject(async ({ path, run, write }) => {
      await run("init", "--yes");
      const functions = join(path, "supabase/functions");
      await write(
        "packages/linked/index.ts",
        `import { withIdempotency } from "../_shared/idempotency.ts";\n`,
      );
      await Deno.symlink(
        "../../packages/linked",
        join(functions, "linked"),
      );
      await Deno.mkdir(join(functions, "plain/folder.ts"), { recursive: true });
      await Deno.symlink("me@host.1", join(functions, "plain/.#index.ts"));
      await Deno.symlink("/", join(functions, "nothing"));
      const doctor = await run("doctor");
      assertStringIncludes(doctor.text, "function linked: CORS and");
      assertEquals(doctor.code, 0, doctor.text);
      const { text } = await run("remove", "--dry-run");
      assertStringIncludes(text, "function linked imports the module");
    }),
});

Deno.test("doctor and remove know what an import map makes of a function's imports", () =>
  withProject(async ({ run, write }) => {
    await run("init", "--yes");
    const functions = "supabase/functions";
    for (
      const [name, file, imports, from] of [
        [
          "alias",
          "alias/deno.json",
          { ledger: "../_shared/idempotency.ts" },
          "ledger",
        ],
        ["folder", "folder/deno.jsonc", { "@/": "../_shared/" }, "@/serve.ts"],
        ["all", "import_map.json", { "serve": "./_shared/serve.ts" }, "serve"],
        [
          "named",
          "../maps/named.json",
          { "named": "../functions/_shared/serve.ts" },
          "named",
        ],
      ] as const
    ) {
      await write(`${functions}/${file}`, JSON.stringify({ imports }));
      await write(
        `${functions}/${name}/index.ts`,
        `import { a } from "${from}";`,
      );
    }
    await write(
      `${SHARED}/serve.ts`,
      `import { withIdempotency } from "./idempotency.ts";`,
    );
    await write(
      "supabase/config.toml",
      `[functions.named]\nimport_map = "./maps/named.json"`,
    );
    await write(
      `${functions}/led/deno.json`,
      `{ "importMap": "../../maps/named.json" }`,
    );
    await write(`${functions}/led/index.ts`, `import { a } from "named";`);
    await write(`${functions}/broken/deno.json`, "{");
    await write(`${functions}/broken/index.ts`, `import "ledger";`);
    const doctor = await run("doctor");
    assertEquals(doctor.code, 0, doctor.text);
    const { text } = await run("remove", "--dry-run");
    for (const name of ["alias", "folder", "all", "named", "led"]) {
      assertStringIncludes(doctor.text, `ok    function ${name}: CORS and`);
      assertStringIncludes(text, `function ${name} imports the module`);
    }
    assert(!text.includes("function broken"), text);
  }));

for (const name of ["config.json", "config.jsonc"]) {
  Deno.test(`doctor goes by ${name} where the Supabase CLI does`, () =>
    withProject(async ({ run, write }) => {
      await run("init", "--yes");
      await write(
        "supabase/functions/hello/index.ts",
        `import { corsHeaders, withIdempotency } from "../_shared/idempotency.ts";
export default { fetch: withSupabase(
  { auth: ["publishable", "secret"], cors: { headers: corsHeaders } },
  withIdempotency({}, serve),
) };`,
      );
      // Which is passed over then.
      await write(
        "supabase/config.toml",
        "[functions.hello]\nverify_jwt = true",
      );
      const functions = { hello: { verify_jwt: false } };
      const schema = "https://supabase.com/schemas/config/v1.json";
      await write(
        `supabase/${name}`,
        name === "config.json"
          ? JSON.stringify({ $schema: schema, functions })
          : `{
  // in words: "open", /* all day */
  "$schema": "${schema}", /* [ */
  "functions": ${JSON.stringify(functions)}, // the last
}`,
      );
      const doctor = await run("doctor");
      assertStringIncludes(doctor.text, "ok    function hello");
      await write(`supabase/${name}`, "{");
      const { text } = await run("doctor");
      assertStringIncludes(text, `supabase/${name} cannot be read, mend`);
    }));
}

Deno.test("where a variable says verify_jwt, init, doctor and remove go on without knowing", () =>
  withProject(async ({ run, write }) => {
    await write(
      "supabase/config.toml",
      `[functions.hello]\nverify_jwt = "env(VERIFY_JWT)"`,
    );
    const init = await run("init", "--yes");
    assertEquals(init.code, 0, init.text);
    await write(
      "supabase/functions/hello/index.ts",
      `import { withIdempotency } from "../_shared/idempotency.ts";
const publishable = { auth: ["publishable"] };`,
    );
    const doctor = await run("doctor");
    assertEquals(doctor.code, 0, doctor.text);
    assertStringIncludes(doctor.text, "ok    function hello");
    assertEquals((await run("remove", "--dry-run")).code, 0);
  }));

Deno.test("a config.toml that cannot be read is named, and what is wrong in it", () =>
  withProject(async ({ run, write }) => {
    await run("init", "--yes");
    await write("supabase/functions/hello/index.ts", "");
    for (
      const [config, why] of [
        ["[functions.hello\nverify_jwt = false", "line 1|1:"],
        [`[functions.hello]\nverify_jwt = "no"`, "functions.hello.verify_jwt"],
      ] as const
    ) {
      await write("supabase/config.toml", config);
      for (const command of ["doctor", "remove"]) {
        const { code, text } = await run(command);
        assertEquals(code, 1);
        assertStringIncludes(text, "supabase/config.toml cannot be read, mend");
        assertMatch(text, new RegExp(why));
      }
    }
  }));

Deno.test("doctor asks the database through the API, with the secret key", () =>
  withProject(async ({ run, path }) => {
    await run("init", "--yes");
    const { apiUrl, secretKey, publishableKey } = stack();
    const doctor = (key: string) =>
      cli(["doctor", "--project", path], {
        env: { SUPABASE_URL: apiUrl, SUPABASE_SECRET_KEY: key },
      });
    const { code, text } = await doctor(secretKey);
    assertEquals(code, 0, text);
    assertStringIncludes(text, `ok    schema: version ${VERSION}`);
    assertStringIncludes(text, "ok    grants: nobody but service_role");
    assertStringIncludes(text, "ok    durability: synchronous_commit is on");
    const wrong = await doctor(publishableKey);
    assertEquals(wrong.code, 1);
    assertStringIncludes(wrong.text, "use the project's secret key");

    const none = await doctor("");
    assertEquals(none.code, 1);
    assertStringIncludes(none.text, "SUPABASE_URL is set without SUPABASE_S");

    await stack().sql(
      "create or replace function idempotency.version() returns text language sql immutable as $$ select '1.10.0' $$",
    );
    const newer = await doctor(secretKey);
    assertEquals(newer.code, 1, newer.text);
    assertStringIncludes(
      newer.text,
      `WRONG schema: version 1.10.0, and the module is ${VERSION}\n      bring the module to 1.10.0`,
    );

    await stack().sql("drop function public.idempotency_health()");
    const old = await doctor(secretKey);
    assertEquals(old.code, 1, old.text);
    assertStringIncludes(old.text, "run supabase db push");
  }));

Deno.test("the project's .env says what the environment does not", () =>
  withProject(async ({ path, write }) => {
    const { apiUrl, secretKey } = stack();
    const stats = (env: Record<string, string>) =>
      cli(["stats", "--json", "--project", path], { env });
    await write(".env", `SUPABASE_URL=${apiUrl}\nDATABASE_URL=nowhere\n`);
    const half = await stats({});
    assertMatch(
      half.text,
      /^stats: SUPABASE_SECRET_KEY is not set: set .*\nUsage:/,
    );
    await write(".env", `SUPABASE_SECRET_KEY=${secretKey}\n`);
    const whole = await stats({ SUPABASE_URL: apiUrl });
    assertEquals(whole.code, 0, whole.text);
    await write(
      ".env",
      `SUPABASE_URL=${apiUrl}\nSUPABASE_SECRET_KEY=${secretKey}\n`,
    );
    assertEquals((await stats({})).code, 0);
    const named = await stats({ DATABASE_URL: "postgresql://u@127.0.0.1:1/x" });
    assertStringIncludes(named.text, "ECONNREFUSED 127.0.0.1:1");
  }));

Deno.test("a database that answers at neither address of its host is told of in words", () => {
  // As Node has it, for instance of localhost.
  const refused = ["::1:1", "127.0.0.1:1"].map((address) =>
    new Error(`connect ECONNREFUSED ${address}`)
  );
  const error = Object.assign(new AggregateError(refused), {
    code: "ECONNREFUSED",
  });
  assertEquals(
    explain(error),
    "connect ECONNREFUSED ::1:1, connect ECONNREFUSED 127.0.0.1:1",
  );
});

Deno.test(".env is read as editors on Windows write it, and a folder of that name is none", () =>
  withProject(async ({ path, write }) => {
    const { apiUrl, secretKey } = stack();
    const written = [
      `SUPABASE_URL=${apiUrl}`,
      `SUPABASE_SECRET_KEY=${secretKey}`,
    ];
    const list = (env: Record<string, string>) =>
      cli(["keys", "list", "--json", "--project", path], { env });
    await write(".env", `\ufeff${written.join("\r\n")}\r\n`);
    assertEquals(await list({}), { code: 0, text: "[]" });
    await Deno.remove(join(path, ".env"));
    await write(".env/pyvenv.cfg", "home = /usr/bin\n");
    assertEquals(
      await list({ SUPABASE_URL: apiUrl, SUPABASE_SECRET_KEY: secretKey }),
      { code: 0, text: "[]" },
    );
  }));

Deno.test("a project does not say where a key goes that it did not bring", () =>
  withProject(async ({ path, write }) => {
    const asked: string[] = [];
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      ({ headers }) => {
        asked.push(headers.get("apikey") ?? "");
        return Response.json([]);
      },
    );
    await write(".env", `SUPABASE_URL=http://127.0.0.1:${server.addr.port}\n`);
    const { text } = await cli(["stats", "--project", path], {
      env: { SUPABASE_SECRET_KEY: "sb_secret_of_another_project" },
    });
    assertMatch(text, /^stats: SUPABASE_URL is not set: set .*\nUsage:/);
    assertEquals(asked, []);
  }));

Deno.test("no message shows a password or a key", () =>
  withProject(async ({ run, path }) => {
    for (
      const url of [
        "postgresql://u:a#s3cret@127.0.0.1:5432/x",
        "postgresql://u:s3cret/a@127.0.0.1:5432/x",
        "postgresql://u:s3cret@127.0.0.1:99999/x",
        "postgresql://u:s3cret%zz@127.0.0.1:5432/x",
        "u:s3cret@127.0.0.1",
        "",
      ]
    ) {
      const { code, text } = await run("stats", "--database-url", url);
      assertEquals([url, code], [url, 1], text);
      assertStringIncludes(text, "Cannot use the database URL: expected");
      assertStringIncludes(text, "# is written %23");
      assert(!text.includes("s3cret"), text);
    }
    for (
      const [SUPABASE_URL, SUPABASE_SECRET_KEY, says] of [
        ["http://127.0.0.1:80", "sb_s3cret\nX=1", "copy it anew"],
        ["http://127.0.0.1:80", "“sb_s3cret”", "copy it anew"],
        ["http://u:s3cret@127.0.0.1:80", "key", "SUPABASE_URL has a user"],
      ] as const
    ) {
      const { code, text } = await cli(["stats", "--project", path], {
        env: { SUPABASE_URL, SUPABASE_SECRET_KEY },
      });
      assertEquals(code, 1, text);
      assertStringIncludes(text, says);
      assert(!text.includes("s3cret"), text);
    }
  }));

Deno.test("a database is asked for TLS, unless its URL says otherwise", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (
    const [query, wants] of [
      ["", true],
      ["?application_name=x", true],
      ["?sslmode=disable", false],
    ] as const
  ) {
    const url = `postgresql://u@127.0.0.1:${listener.addr.port}/x${query}`;
    const listing = cli(["keys", "list", "--database-url", url]);
    const connection = await listener.accept();
    const sent = new DataView(new ArrayBuffer(1024));
    await connection.read(new Uint8Array(sent.buffer));
    assertEquals([query, sent.getInt32(4) === SSL_REQUEST], [query, wants]);
    const says = new TextEncoder();
    if (wants) {
      await connection.write(says.encode("N"));
      await connection.read(new Uint8Array(sent.buffer));
    }
    const refusal = "SFATAL\0C28000\0Mnot you\0\0";
    await connection.write(
      says.encode(
        `E\0\0\0${String.fromCharCode(4 + refusal.length)}${refusal}`,
      ),
    );
    connection.close();
    assertEquals(await listing, { code: 1, text: "keys: not you" });
  }
});

Deno.test("a project that cannot be reached is named, and what to look at", () =>
  withProject(async ({ path }) => {
    const { code, text } = await cli(["stats", "--project", path], {
      env: {
        SUPABASE_URL: "http://nowhere.invalid",
        SUPABASE_SECRET_KEY: "key",
      },
    });
    assertEquals(code, 1, text);
    assertMatch(
      text,
      /^stats: nowhere\.invalid cannot be reached, look at SUPABASE_URL/,
    );
  }));

Deno.test("an address that is not the API's is told as such, and not its page", async () => {
  for (const status of [200, 404]) {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => new Response("<!doctype html><title>Dashboard", { status }),
    );
    const { code, text } = await cli(["keys", "list"], {
      env: {
        SUPABASE_URL: `http://127.0.0.1:${server.addr.port}/dashboard`,
        SUPABASE_SECRET_KEY: "sb_secret_x",
      },
    });
    assertEquals(code, 1);
    assertMatch(text, /^keys: 127\.0\.0\.1:\d+ answers with a page, .*$/);
  }
});

Deno.test("the names of a project's folders say nothing to a terminal", () =>
  withProject(async ({ path, run, read, write, migrations }) => {
    await run("init", "--yes");
    await write(
      "supabase/functions/a\u001b]0;b\u0007/index.ts",
      'import { withIdempotency } from "../_shared/idempotency.ts";',
    );
    await write("supabase/migrations/20990101000000_\u001b[2J.sql", "");
    for (const command of ["doctor", "remove"]) {
      const { text } = await run(command);
      assertStringIncludes(text, "a\\u{1b}]0;b\\u{7}");
      // deno-lint-ignore no-control-regex
      assertEquals(/[\u001b\u0007]/.test(text), false, text);
    }
    await write(
      "supabase/functions/\u009b2J\u202e/index.ts",
      'import { withIdempotency } from "../_shared/idempotency.ts";',
    );
    const { text } = await run("doctor", "--json");
    assertStringIncludes(text, "function \\u009b2J\\u202e");

    const [made] = migrations();
    const named = made!.replace(/_.*/, "_\u009b2J.sql");
    const folder = join(path, "supabase/migrations");
    await Deno.rename(join(folder, made!), join(folder, named));
    const manifest = JSON.parse(await read(MANIFEST));
    manifest.migrations.idempotency = named;
    await write(MANIFEST, JSON.stringify(manifest));
    await write(
      "supabase/config.toml",
      `[db.migrations]\nschema_paths = ["\\u009b2K"]\n`,
    );
    const parts = ["--parts", "archive,migrate", "--dry-run"];
    const init = await run("init", ...parts);
    assertMatch(
      init.text,
      /would add supabase\/rollback\/\d+_\\u\{9b\}2J\.sql/,
    );
    assertStringIncludes(init.text, '"\\u009b2K"');
  }));

// Projects are cloned, and what is in them need not be the work of friends.
Deno.test("a manifest leads to no file outside of supabase/, and says nothing to a terminal", () =>
  withProject(async ({ path, run, read, write }) => {
    await run("init", "--yes");
    const manifest = JSON.parse(await read(MANIFEST));
    const outside = `${path}.precious`;
    const name = basename(outside);
    await Deno.writeTextFile(outside, "precious");
    try {
      const refuses = async (file: string, ...args: string[]) => {
        const files = { ...manifest.files, [file]: checksum("precious") };
        await write(MANIFEST, JSON.stringify({ ...manifest, files }));
        const { code, text } = await run(...args);
        assertEquals([file, args, code], [file, args, 1], text);
        assertStringIncludes(text, "a path that is none below supabase/");
        assertEquals(/[^\n\P{Cc}]|\u202e/u.test(text), false, text);
        assertEquals(await Deno.readTextFile(outside), "precious");
      };
      const plain = `${SHARED}/../../../../${name}`;
      await refuses(plain, "upgrade", "--force-vendor", "--yes");
      await refuses(plain, "init", "--force-vendor", "--yes");
      await refuses(plain, "doctor");
      for (
        const file of [
          plain,
          `${SHARED}/./../../../../${name}`,
          `../${name}`,
          outside,
          `${SHARED}\\..\\..\\..\\..\\${name}`,
          `${SHARED}/\u001b[2J.ts`,
          `${SHARED}/\u202e.ts`,
        ]
      ) {
        await refuses(file, "remove", "--yes");
      }
    } finally {
      await Deno.remove(outside);
    }
  }));

Deno.test("what was cut off is taken up again, with no migration twice", () =>
  withProject(async ({ path, run, write, migrations }) => {
    const names = () =>
      migrations().map((name) => name.replace(/^\d+_/, "")).sort();
    const init = () =>
      run("init", "--yes", "--parts", "archive,sequences,migrate");
    // A file in the place of a folder ends it when the migrations are written.
    await write("supabase/rollback", "");
    assertEquals((await init()).code, 1);
    const made = ["archive.sql", "idempotency.sql", "sequences.sql"];
    assertEquals(names(), made);
    await Deno.remove(join(path, "supabase/rollback"));
    const second = await init();
    assertEquals(second.code, 0, second.text);
    assertEquals(names(), made);

    // Before it has written anything but what it remembers.
    for (const name of migrations()) {
      await Deno.remove(join(path, "supabase/migrations", name));
    }
    await Deno.remove(join(path, "supabase/rollback"), { recursive: true });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assertEquals((await init()).code, 0);
    assertEquals(names(), made);
    const { text } = await run("doctor");
    assertStringIncludes(text, "as they were written");

    // As if it had ended before its last change.
    const manifest = await Deno.readTextFile(join(path, MANIFEST));
    assertEquals((await run("remove", "--yes")).code, 0);
    await write(MANIFEST, manifest);
    const again = await run("remove", "--yes");
    assertEquals(again.code, 0, again.text);
    assertEquals(names(), [...made, "remove_idempotency.sql"].sort());

    // As if it had ended while it wrote its first change: nothing would drop
    // the ledger, and nothing was left of what says so.
    await write(MANIFEST, manifest);
    const removal = migrations().at(-1)!;
    await write(`supabase/migrations/${removal}`, "");
    const half = await run("remove", "--yes");
    assertEquals(half.code, 1, half.text);
    assertStringIncludes(half.text, `${removal} is not what this program`);
    await Deno.remove(join(path, "supabase/migrations", removal));
    assertEquals((await run("remove", "--yes")).code, 0);
    assertEquals(names(), [...made, "remove_idempotency.sql"].sort());
  }));

Deno.test("init that is killed leaves no file in part, and can be run again", () =>
  withProject(async ({ path, run }) => {
    const isThere = async (file: string) =>
      await Deno.stat(join(path, file)).then(() => true, () => false);
    const folders = ["functions", "migrations"]
      .map((name) => join(path, "supabase", name));
    const files = () =>
      folders.flatMap((folder) => [...readdirSync(folder, { recursive: true })])
        .map((name) => String(name).replace(/^\d+_/, "")).sort();
    const remove = () =>
      Promise.all(
        folders.map((folder) => Deno.remove(folder, { recursive: true })),
      );
    assertEquals((await run("init", "--yes")).code, 0);
    const made = files();
    await remove();
    for (let time = 0; time < 4; time++) {
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-A", "--no-check", "scripts/cli.ts"],
          ...["init", "--yes", "--project", path],
        ],
        stdout: "null",
        stderr: "null",
      }).spawn();
      let ended = false;
      child.status.then(() => ended = true);
      while (!ended && !await isThere(MANIFEST));
      if (!ended) child.kill("SIGKILL");
      await child.status;
      const again = await run("init", "--yes");
      assertEquals(again.code, 0, again.text);
      assertEquals(files(), made);
      await remove();
    }
  }));

Deno.test("what came while somebody was asked is not written over", () =>
  withProject(async ({ path, read, run, migrations }) => {
    const folder = await openFolder(path);
    const theirs = `${SHARED}/idempotency/key.ts`;
    const changes = [MANIFEST, theirs].map((path) => ({
      path,
      text: "",
      kind: "add" as const,
    }));
    // Asked, and answered after another one has run.
    const asked = {
      "dry-run": false,
      get yes() {
        new Deno.Command(Deno.execPath(), {
          args: [
            ...["run", "-A", "--no-check", "scripts/cli.ts"],
            ...["init", "--yes", "--project", path],
          ],
          stdout: "null",
        }).outputSync();
        return true;
      },
    };
    const error = await assertRejects(
      () => carryOut(folder, changes, asked),
      CommandError,
      "meanwhile somebody else did",
    );
    assertStringIncludes(error.message, theirs);
    assert((await read(theirs)).length > 0);
    assertEquals(migrations().length, 1);
    const { text } = await run("doctor");
    assertStringIncludes(text, "as they were written");
  }));

Deno.test({
  name: "what cannot be written is named, and how far it got",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withProject(async ({ path, run, read, write }) => {
      await write("supabase/rollback", "");
      const { code, text } = await run("init", "--yes", "--parts", "migrate");
      assertEquals(code, 1);
      assertMatch(
        text,
        /supabase\/rollback\/\d+_idempotency\.sql: .*\. (\d+) of \d+ changes are made; mend that and run this again/,
      );
      await Deno.remove(join(path, "supabase/rollback"));
      // A folder that is elsewhere in the project.
      await Deno.rename(
        join(path, "supabase/functions"),
        join(path, "functions"),
      );
      await Deno.symlink("../functions", join(path, "supabase/functions"));
      assertEquals((await run("init", "--yes")).code, 0);
      assertEquals(JSON.parse(await read(MANIFEST)).parts, ["migrate"]);
      const removed = await run("remove", "--yes");
      assertEquals(removed.code, 0, removed.text);
      assertStringIncludes(removed.text, "then supabase db push");
    }),
});

Deno.test({
  name: "a file that cannot be replaced stays whole",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withProject(async ({ path, run, read, write }) => {
      await run("init", "--yes");
      const module = `${SHARED}/idempotency/middleware.ts`;
      const text = await read(module);
      const edited = `// mine\n${text}`;
      await write(module, edited);
      // As on a disk with room for little: no file may be larger than 4 KiB.
      const full = await new Deno.Command("bash", {
        args: [
          ...["-c", `trap "" XFSZ; ulimit -f 4; exec "$0" "$@"`],
          ...[Deno.execPath(), "run", "-A", "--no-check", "scripts/cli.ts"],
          ...["init", "--force-vendor", "--yes", "--project", path],
        ],
      }).output();
      const said = new TextDecoder().decode(full.stderr);
      assertEquals(full.code, 1, said);
      assertMatch(
        said,
        /0 of 1 changes are made; mend that and run this again/,
      );
      assertEquals(await read(module), edited);
      assertEquals((await run("init", "--force-vendor", "--yes")).code, 0);
      assertEquals(await read(module), text);
      const names = Deno.readDirSync(join(path, SHARED, "idempotency"));
      assertEquals([...names].filter(({ name }) => !name.endsWith(".ts")), []);
    }),
});

Deno.test("a project of a later release is told which program to take", () =>
  withProject(async ({ run, read, write }) => {
    await run("init", "--yes");
    const manifest = await read(MANIFEST);
    await write(MANIFEST, manifest.replace(VERSION, "99.0.1"));
    for (const command of ["doctor", "init", "upgrade", "remove"]) {
      const { code, text } = await run(command);
      assertEquals(code, 1, text);
      assertStringIncludes(text, "supabase-idempotency@99.0.1");
      assertEquals(text.includes("cli upgrade"), false, text);
    }
  }));

Deno.test({
  name: "a link in a project leads no change out of it",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withProject(async ({ path, run, read, write }) => {
      const outside = await Deno.makeTempDir({ prefix: "outside-" });
      const refused = async (...args: string[]) => {
        const { code, text } = await run(...args);
        assertEquals(code, 1, text);
        assertStringIncludes(text, "behind a link that leads out of");
        const names = [...Deno.readDirSync(outside)].map(({ name }) => name);
        assertEquals(names, ["precious"]);
      };
      try {
        await Deno.writeTextFile(join(outside, "precious"), "precious");
        await Deno.symlink(outside, join(path, "supabase/functions"));
        await refused("init", "--yes");
        await Deno.remove(join(path, "supabase/functions"));
        await Deno.mkdir(join(path, SHARED), { recursive: true });
        const module = join(path, SHARED, "idempotency.ts");
        await Deno.symlink(join(outside, "new"), module);
        await refused("init", "--yes");
        await Deno.remove(module);
        await Deno.symlink(outside, join(path, "supabase/.temp"));
        await refused("init", "--yes");
        await Deno.remove(join(path, "supabase/.temp"));
        assertEquals((await run("init", "--yes")).code, 0);
        await Deno.symlink(outside, join(path, SHARED, "more"));
        const manifest = JSON.parse(await read(MANIFEST));
        manifest.files[`${SHARED}/more/precious`] = checksum("precious");
        await write(MANIFEST, JSON.stringify(manifest));
        await refused("upgrade", "--force-vendor", "--yes");
        await refused("remove", "--yes");
      } finally {
        await Deno.remove(outside, { recursive: true });
      }
    }),
});

Deno.test("cleanup --dry-run says how many keys have expired", async () => {
  const { text } = await cli(["cleanup", "--dry-run"], {
    env: {
      SUPABASE_URL: stack().apiUrl,
      SUPABASE_SECRET_KEY: stack().secretKey,
    },
  });
  assertEquals(text, "would delete 0 expired keys");
});

Deno.test({
  name:
    "a warning of the database is no part of what a command prints, and a replica is known",
  ignore: findPostgres() === null,
  async fn() {
    await using cluster = await adoptedCluster();
    const sql = postgres(cluster.url, { max: 1 });
    // As after its operating system was renewed: each connection is warned.
    await sql`update pg_database set datcollversion = '1' where datname = current_database()`;
    await sql.end();
    assertEquals(
      await cli(["keys", "list", "--json", "--database-url", cluster.url]),
      { code: 0, text: "[]" },
    );
    const replica = `${cluster.url}?default_transaction_read_only=on`;
    const { code, text } = await cli(["stats", "--database-url", replica]);
    assertEquals(code, 1);
    assertStringIncludes(text, "use the primary database, not a replica");
  },
});

Deno.test({
  name: "a database proves itself by the certificate that its URL names",
  ignore: findPostgres() === null,
  async fn() {
    await using cluster = await adoptedCluster();
    const url = cluster.url.replace("127.0.0.1", "localhost");
    const sql = postgres(url, { max: 1 });
    const [row] = await sql`show data_directory`;
    const folder: string = row!["data_directory"];
    const { uid, gid } = await Deno.stat(folder);
    await sql`alter system set ssl = on`;
    const serve = async (name: string) => {
      const [key, certificate] = ["key", "crt"]
        .map((end) => join(folder, `${name}.${end}`));
      const made = await runCommand("openssl", [
        ...["req", "-x509", "-nodes", "-days", "1", "-subj", `/CN=${name}`],
        ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        ...["-keyout", key!, "-out", certificate!],
      ]);
      assertEquals(made.code, 0, printed(made));
      await Deno.chown(key!, uid, gid);
      await sql.unsafe(`alter system set ssl_key_file = '${key}'`);
      await sql.unsafe(`alter system set ssl_cert_file = '${certificate}'`);
      await sql`select pg_reload_conf()`;
    };
    const list = async (name: string, mode: string) => {
      const certificate = join(folder, `${name}.crt`);
      const asked = `${url}?sslmode=${mode}&sslrootcert=${certificate}`;
      return (await cli(["keys", "list", "--json", "--database-url", asked]))
        .text;
    };
    await serve("elsewhere");
    assertEquals(await list("elsewhere", "require"), "[]");
    assertMatch(await list("elsewhere", "verify-full"), /is not cert's CN/);
    await serve("localhost");
    assertEquals(await list("localhost", "verify-full"), "[]");
    assertMatch(await list("elsewhere", "require"), /self-signed/);
    assertMatch(await list("nowhere", "require"), /ENOENT.*nowhere\.crt/);
    await sql.end();
  },
});

Deno.test({
  name:
    "stats answers at a pooler in transaction mode, by the URL that Prisma takes",
  ignore: findPostgres() === null || !hasPgBouncer(),
  async fn() {
    await using cluster = await adoptedCluster();
    await using pooler = (await startPgBouncer(cluster.url, 2))!;
    const url = `${pooler.url}?pgbouncer=true&connection_limit=1&schema=public`;
    const { code, text } = await cli(["stats", "--json"], {
      env: { DATABASE_URL: url },
    });
    assertEquals(code, 0, text);
    assertEquals(JSON.parse(text).hours, 24);
  },
});
