import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import { VERSION } from "../../../scripts/cli/release.ts";
import { printed } from "../../../scripts/check/command.ts";
import { runSupabase } from "../../../scripts/check/supabase_cli.ts";
import { cli, durable, type ProjectOnDisk } from "../../support/cli.ts";
import { moduleOf } from "../../support/vendored.ts";

const LEDGER = "supabase/migrations/20261129110000_idempotency.sql";
const MANIFEST = "supabase/functions/_shared/idempotency.manifest.json";
const KEY = "supabase/functions/_shared/idempotency/key.ts";

const [major, minor, patch] = VERSION.split(".");
const NEXT = `${major}.${minor}.${Number(patch) + 1}`;
const LATEST = `${major}.${minor}.${Number(patch) + 2}`;
const UPGRADE = `_idempotency_${LATEST.replaceAll(".", "_")}.sql`;

/** What a release may do to the one before it: functions of other insides … */
function replacedFunctions(sql: string, version: string): string {
  return ["idempotency.version", "public.idempotency_claim"].map((name) =>
    new RegExp(`^create function ${name}\\([^]*?^\\$\\$;\n`, "m").exec(sql)![0]
      .replace("create function", "create or replace function")
      .replace(`'${VERSION}'`, `'${version}'`)
      .replace(/^begin\n/m, `begin\n  -- ${version}\n`)
  ).join("\n");
}

/** … and more of what there is. */
const ADDED = `
alter table public.idempotency_keys add column note text;

create function idempotency.ping() returns integer
language sql immutable security invoker set search_path = ''
as $$ select 1 $$;

revoke all on function idempotency.ping() from public, anon, authenticated, service_role;
`;

/** A checkout two releases later, which adds to the schema and to the module. */
async function laterRelease(): Promise<string> {
  const root = await Deno.makeTempDir({ prefix: "later-" });
  for (const name of ["deno.json", "deno.lock"]) {
    await Deno.copyFile(name, join(root, name));
  }
  for (const name of ["functions", "scripts", "shared", "supabase"]) {
    await cp(name, join(root, name), { recursive: true });
  }
  const write = (path: string, text: string) =>
    Deno.writeTextFile(join(root, path), text);
  const edit = async (path: string, change: (text: string) => string) =>
    await write(path, change(await Deno.readTextFile(join(root, path))));
  await edit("deno.json", (text) => text.replace(VERSION, LATEST));
  await edit("shared/idempotency/key.ts", (text) => `${text}// ${LATEST}\n`);
  await write("shared/idempotency/later.ts", "export const later = 1;\n");
  const sql = await Deno.readTextFile(LEDGER);
  const steps = [
    replacedFunctions(sql, NEXT),
    [replacedFunctions(sql, LATEST), ADDED].join("\n"),
  ];
  await write(`supabase/releases/${VERSION}-${NEXT}.sql`, steps[0]!);
  await write(`supabase/releases/${NEXT}-${LATEST}.sql`, steps[1]!);
  await edit(LEDGER, (text) => [text, ...steps].join("\n"));
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
      return { status: 201, body: String(row!["id"]) };
    });
  const lane = async (lane: number) => {
    const [one, other] = lane % 2 === 0 ? modules : modules.toReversed();
    for (let i = 0; going; i++) {
      const key = `order-${lane}-${i}`;
      const answers = await Promise.all([call(one!, key), call(other!, key)]);
      const again = await call(other!, key);
      requests += 3;
      await pause(20);
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
      // From before the upgrade, too.
      for (const { id, key } of await sql`select * from public.effects`) {
        for (const module of modules) {
          const { status, body } = await call(module, key);
          if (status === 201 && body === String(id)) continue;
          problems.push(`${key} again: ${status} ${JSON.stringify(body)}`);
        }
      }
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

/**
 * Upgrades a project that has this release, and whose database has a table
 * `effects`, while functions of both versions answer requests.
 */
export async function upgradeBesideRequests(
  project: ProjectOnDisk,
  url: string,
): Promise<void> {
  const root = await laterRelease();
  // Apart from the project: what is loaded from a path once stays.
  const homes = [0, 1].map(() => Deno.makeTempDirSync({ prefix: "deployed-" }));
  const deploy = async (home: string) => {
    await cp(join(project.path, "supabase"), join(home, "supabase"), {
      recursive: true,
    });
    return await moduleOf(home);
  };
  try {
    const old = await deploy(homes[0]!);
    const applied = project.migrations();
    const before = await project.read(`supabase/migrations/${applied.at(-1)}`);

    await refusesEdits(project, root);
    const args = ["upgrade", "--project", project.path, "--yes"];
    const manifest = await project.read(MANIFEST);
    const { code, text } = await cli(args, { root });
    assertEquals(code, 0, text);
    assertStringIncludes(text, `from ${VERSION} to ${LATEST}`);
    assertStringIncludes(
      text,
      "would add supabase/functions/_shared/idempotency/later.ts",
    );
    assertStringIncludes(await project.read(KEY), `// ${LATEST}`);
    const after = project.migrations();
    assertEquals(after.slice(0, -1), applied);
    assertStringIncludes(after.at(-1)!, UPGRADE);
    // As if it had ended before its last change, and once more.
    await project.write(MANIFEST, manifest);
    const again = await cli(args, { root });
    assertEquals(again.code, 0, again.text);
    assertEquals(project.migrations(), after);
    assertEquals(
      await project.read(`supabase/migrations/${applied.at(-1)}`),
      before,
    );

    assertEquals((await traffic(url, [old, old]).end()).problems, []);
    const running = traffic(url, [old, await deploy(homes[1]!)]);
    const doctor = () =>
      cli(
        ["doctor", "--project", project.path, "--database-url", durable(url)],
        { root },
      );
    assertStringIncludes(
      (await doctor()).text,
      `WRONG schema: version ${VERSION}, and the module is ${LATEST}`,
    );
    await whileReading(url, async () => {
      const refused = await runSupabase(["db", "push", `--remote=${url}`], {
        workdir: project.path,
      });
      assertStringIncludes(printed(refused), "due to lock timeout");
    });
    await project.push(url);
    await pause(300);
    const { requests, problems } = await running.end();
    assertEquals(problems, []);
    assert(requests > 50, `only ${requests} requests`);
    const well = await doctor();
    assertEquals(well.code, 0, well.text);
    assertStringIncludes(
      (await cli(args, { root })).text,
      `has ${LATEST} already`,
    );
  } finally {
    for (const folder of [root, ...homes]) {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

/** While a transaction has read the ledger and does not end, such as a report. */
async function whileReading(
  url: string,
  work: () => Promise<void>,
): Promise<void> {
  const sql = postgres(url, { max: 1 });
  const done = Promise.withResolvers<void>();
  const report = sql.begin(async (sql) => {
    await sql`select from public.idempotency_keys limit 1`;
    await done.promise;
  });
  try {
    await work();
  } finally {
    done.resolve();
    await report;
    await sql.end();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
