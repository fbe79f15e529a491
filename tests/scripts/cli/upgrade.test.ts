import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import { Releases } from "../../../scripts/check/releases.ts";
import { emptyCluster } from "../../../scripts/cluster/supabase_cluster.ts";
import { cli, newProject, type ProjectOnDisk } from "../../support/cli.ts";
import { moduleOf } from "../../support/vendored.ts";

const LEDGER = "supabase/migrations/20261129110000_idempotency.sql";
const KEY = "supabase/functions/_shared/idempotency/key.ts";

// What a release may do to the one before it: more columns, functions of other
// insides, functions that are new.
const ADDED = `
alter table public.idempotency_keys add column note text;

create function idempotency.ping() returns integer
language sql immutable security invoker set search_path = ''
as $$ select 1 $$;

revoke all on function idempotency.ping() from public, anon, authenticated, service_role;
`;

/** A checkout of a later release, which adds to the schema and to the module. */
async function laterRelease(version: string): Promise<string> {
  const root = await Deno.makeTempDir({ prefix: "later-" });
  for (const name of ["deno.json", "deno.lock", "CHANGELOG.md"]) {
    await Deno.copyFile(name, join(root, name));
  }
  for (const name of ["scripts", "shared", "supabase"]) {
    await cp(name, join(root, name), { recursive: true });
  }
  const edit = async (path: string, change: (text: string) => string) => {
    const text = await Deno.readTextFile(join(root, path));
    await Deno.writeTextFile(join(root, path), change(text));
  };
  const before = await new Releases(root).version();
  await edit("deno.json", (text) => text.replace(before, version));
  await edit("CHANGELOG.md", (text) => `## ${version}\n\n${text}`);
  await edit("shared/idempotency/key.ts", (text) => `${text}// ${version}\n`);
  await Deno.writeTextFile(
    join(root, "shared/idempotency/later.ts"),
    "export const later = 1;\n",
  );
  const sql = await Deno.readTextFile(LEDGER);
  const functions = ["idempotency.version", "public.idempotency_claim"];
  const replaced = functions.map((name) =>
    new RegExp(`^create function ${name}\\([^]*?^\\$\\$;\\n`, "m").exec(sql)![0]
  ).map((text) =>
    text.replace("create function", "create or replace function")
      .replace(`'${before}'`, `'${version}'`)
      .replace(/^begin\n/m, `begin\n  -- ${version}\n`)
  );
  await Deno.writeTextFile(
    join(root, `supabase/releases/${before}-${version}.sql`),
    [...replaced, ADDED].join("\n"),
  );
  await edit(
    LEDGER,
    (text) => [text, ...replaced, ADDED].join("\n"),
  );
  return root;
}

interface Traffic {
  /** Ends it, and says what it saw. */
  end(): Promise<{ requests: number; problems: string[] }>;
}

/** Pairs of calls with one key, one by each version, for as long as it goes. */
function traffic(
  url: string,
  modules: readonly Awaited<ReturnType<typeof moduleOf>>[],
): Traffic {
  const sql = postgres(url, { max: 8 });
  const problems: string[] = [];
  let going = true;
  let requests = 0;
  const call = (module: typeof modules[number], key: string) =>
    module.withIdempotency({
      userId: null,
      route: "orders",
      key,
      store: module.postgresLedger(sql),
      onConcurrent: "wait",
    }, async () => {
      const [row] = await sql`
        insert into public.effects (key) values (${key}) returning id`;
      return { status: 201, body: String(row!.id) };
    });
  const lane = async (lane: number) => {
    const [one, other] = lane % 2 === 0 ? modules : modules.toReversed();
    for (let i = 0; going; i++) {
      const key = `order-${lane}-${i}`;
      const answers = await Promise.all([call(one!, key), call(other!, key)]);
      const again = await call(other!, key);
      requests += 3;
      for (const { status, body } of [...answers, again]) {
        if (status === 201 && body === again.body) continue;
        problems.push(`${key}: ${status} ${JSON.stringify(body)}`);
      }
    }
  };
  const lanes = Promise.all([0, 1, 2, 3].map(lane));
  return {
    async end() {
      going = false;
      await lanes;
      const twice = await sql`
        select key from public.effects group by key having count(*) > 1`;
      problems.push(...twice.map(({ key }) => `${key} took effect twice`));
      await sql.end();
      return { requests, problems };
    },
  };
}

async function refusesEdits(
  project: ProjectOnDisk,
  root: string,
): Promise<void> {
  const text = await project.read(KEY);
  const before = project.migrations();
  await project.write(KEY, `${text}// mine\n`);
  const args = ["upgrade", "--project", project.path, "--yes"];
  const refused = await cli(args, { root });
  assertEquals(refused.code, 1);
  assertStringIncludes(
    refused.text,
    `edited since they were written:\n  ${KEY}`,
  );
  assertEquals(project.migrations(), before);
  await project.write(KEY, text);
}

for (const version of [15, 17]) {
  Deno.test(`upgrade goes on beside requests of both versions on Postgres ${version}`, async () => {
    await using cluster = await emptyCluster({ version });
    await using project = await newProject();
    const { url } = cluster;
    const root = await laterRelease("1.0.1");
    const old = await Deno.makeTempDir({ prefix: "old-" });
    try {
      await project.migration(
        "effects",
        "create table public.effects (id bigint generated always as identity, key text);",
      );
      await project.cli("init", "--yes");
      await project.push(url);
      await cp(join(project.path, "supabase"), join(old, "supabase"), {
        recursive: true,
      });
      const applied = await project.read(
        `supabase/migrations/${project.migrations().at(-1)}`,
      );

      await refusesEdits(project, root);
      const args = ["upgrade", "--project", project.path, "--yes"];
      const { code, text } = await cli(args, { root });
      assertEquals(code, 0, text);
      assertStringIncludes(text, "from 1.0.0 to 1.0.1");
      assertMatch(text, /would add .*_idempotency_1_0_1\.sql/);
      assertStringIncludes(
        text,
        "would add supabase/functions/_shared/idempotency/later.ts",
      );
      assertStringIncludes(await project.read(KEY), "// 1.0.1");
      const [, first, second] = project.migrations();
      assertEquals(await project.read(`supabase/migrations/${first}`), applied);
      assertMatch(second!, /_idempotency_1_0_1\.sql$/);

      const modules = [await moduleOf(old), await moduleOf(project.path)];
      const running = traffic(url, modules);
      await pause(300);
      const out = await cli(
        ["doctor", "--project", project.path, "--database-url", url],
        { root },
      );
      assertEquals(out.code, 1);
      assertStringIncludes(
        out.text,
        "WRONG schema: version 1.0.0, and the module is 1.0.1",
      );
      await project.push(url);
      await pause(300);
      const { requests, problems } = await running.end();
      assertEquals(problems, []);
      console.log(`${requests} requests meanwhile`);

      const well = await cli(
        ["doctor", "--project", project.path, "--database-url", url],
        { root },
      );
      assertEquals(well.code, 0, well.text);
      const twice = await cli(args, { root });
      assertStringIncludes(twice.text, "has 1.0.1 already");
    } finally {
      await Deno.remove(root, { recursive: true });
      await Deno.remove(old, { recursive: true });
    }
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
