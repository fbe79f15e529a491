import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { ROOT } from "../check/check.ts";
import { runCommand, runDeno } from "../check/command.ts";
import { type PostgresCluster, startCluster } from "../cluster/postgres.ts";
import { prepareProject } from "../cluster/supabase_cluster.ts";
import { readMigrations } from "../migrate/migration.ts";
import { applyMigrations } from "../stack/migrations.ts";
import { openPostgres } from "../stack/postgres.ts";
import { pgtapFiles, runPgtapFile } from "../test/pgtap.ts";
import type { Mutant } from "./mutant.ts";

const FOLDERS = ["shared", "scripts", "tests", "supabase", "functions", "docs"];
// Twice what they take; a mutant that never ends is noticed, too.
const MOST_TEST_MS = 300_000;

// From the quickest, so that most mutants end soon.
const IN_MEMORY = [
  ...coreTests(),
  "tests/ledger/memory.test.ts",
  "tests/ledger/contract_proves.test.ts",
  "tests/ledger/encryption.test.ts",
  "tests/proof/bugs",
  "tests/proof/simulation/workers.test.ts",
];

function coreTests(): string[] {
  const names = [...Deno.readDirSync(new URL("tests/core", ROOT))]
    .map(({ name }) => name);
  return names.filter((name) => name.endsWith(".test.ts")).sort()
    .map((name) => `tests/core/${name}`);
}
const ON_POSTGRES = [
  "tests/ledger/postgres.test.ts",
  "tests/ledger/batches.test.ts",
  "tests/ledger/one_key.test.ts",
  "tests/ledger/operators.test.ts",
  "tests/ledger/renewal.test.ts",
];
const OVER_HTTP = ["tests/http/all.ts"];
const SIMULATION = ["tests/proof/simulation/sql.test.ts"];
const FEW_SCHEDULES = { SIMULATED_SCHEDULES: "15", SIMULATED_SECONDS: "4" };
// The tests of the tests are not asked.
const NO_MUTATIONS = "/^(the SQL keeps|wherever two sessions)/";

// Which pgTAP files look at a part of the SQL first.
const LOOKED_AT_FIRST: Readonly<Record<string, RegExp>> = {
  "10_keys": /^(shape|access|isolation)/,
  "20_claim": /^(claim|limit|in_transaction)/,
  "30_attempt": /^(complete|renew|checkpoint|claim)/,
  "35_in_transaction": /^in_transaction/,
  "40_batches": /^many/,
  "50_status": /^(notify|access|isolation)/,
  "55_broadcasts": /^notify/,
  "60_operators": /^(operators|resolve)/,
  "70_statistics": /^statistics/,
  "71_rollup": /^(statistics|operators)/,
  "80_upkeep": /^(cleanup|operators)/,
};

/** A copy of the tree, with a Postgres of its own, to break. */
export interface Bench extends AsyncDisposable {
  /** Tries a mutant: which tests noticed it, or `null`. */
  try(mutant: Mutant): Promise<string | null>;
}

/** What passes on the tree as it is: nothing else can notice anything. */
export interface Baseline {
  readonly pgtap: readonly string[];
  readonly inMemory: readonly string[];
  readonly onPostgres: readonly string[];
  readonly overHttp: readonly string[];
  readonly simulation: readonly string[];
  /** What does not pass, or needs what is not here. */
  readonly leftOut: readonly string[];
}

/** A copy of the tree, whole and as it is: whoever goes on working is not in the way. */
export async function copyTree(
  root: string = fileURLToPath(ROOT),
): Promise<string> {
  const home = await Deno.makeTempDir({ prefix: "mutate-" });
  for (const name of [...FOLDERS, "deno.json", "deno.lock"]) {
    const copied = await runCommand("cp", ["-r", join(root, name), home]);
    if (copied.code !== 0) throw new Error(`copying ${name}: ${copied.stderr}`);
  }
  return home;
}

/**
 * Copies a tree that nobody changes, and starts a Postgres.
 *
 * @param known What another bench found to pass.
 */
export async function openBench(
  root: string,
  known?: Promise<Baseline>,
): Promise<Bench & { baseline: Baseline }> {
  const home = await copyTree(root);
  const cluster = await startCluster();
  const close = async () => {
    await cluster.close();
    await Deno.remove(home, { recursive: true });
  };
  try {
    // Without the migrations: those are what is broken.
    await prepareProject(cluster.url, { pgtap: true });
    const database = openDatabase(cluster);
    const baseline = await (known ?? findBaseline(home, database));
    return {
      baseline,
      try: (mutant) => tryOut(mutant, { home, root, database, baseline }),
      async [Symbol.asyncDispose]() {
        await database.close();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Trial {
  readonly home: string;
  readonly root: string;
  readonly database: Databases;
  readonly baseline: Baseline;
}

async function findBaseline(
  home: string,
  database: Databases,
): Promise<Baseline> {
  const migrations = join(home, "supabase/migrations");
  const leftOut: string[] = [];
  const passing = async (
    files: readonly string[],
    passes: (file: string) => Promise<boolean>,
  ) => {
    const kept: string[] = [];
    for (const file of files) (await passes(file) ? kept : leftOut).push(file);
    return kept;
  };
  const alone =
    (env: () => Promise<Record<string, string>>) => async (file: string) =>
      await runTests(home, [file], await env()) === null ||
      // A busy machine fails what waits.
      await runTests(home, [file], await env()) === null;
  const url = await database.create(migrations);
  const pgtap = await passing(
    await pgtapFiles(undefined),
    async (file) => (await runPgtapFile(url, file)).failed === 0,
  );
  return {
    pgtap,
    inMemory: await passing(
      IN_MEMORY,
      alone(() => Promise.resolve(FEW_SCHEDULES)),
    ),
    onPostgres: await passing(
      ON_POSTGRES,
      alone(async () => ({
        STACK: "postgres",
        DATABASE_URL: await database.create(migrations),
      })),
    ),
    overHttp: await passing(
      OVER_HTTP,
      alone(() => Promise.resolve({ STACK: "pglite" })),
    ),
    simulation: await passing(
      SIMULATION,
      alone(() => Promise.resolve(FEW_SCHEDULES)),
    ),
    leftOut,
  };
}

async function tryOut(
  mutant: Mutant,
  { home, root, database, baseline }: Trial,
): Promise<string | null> {
  const path = join(home, mutant.file);
  await Deno.writeTextFile(path, mutant.text);
  try {
    if (!mutant.file.endsWith(".sql")) {
      return await tryCode(home, database, baseline);
    }
    const folder = await Deno.makeTempDir({ dir: home });
    await writeMigrations(root, mutant, folder);
    return await trySql(mutant, folder, { home, root, database, baseline });
  } finally {
    await Deno.copyFile(join(root, mutant.file), path);
  }
}

async function tryCode(
  home: string,
  database: Databases,
  { inMemory, onPostgres, overHttp }: Baseline,
): Promise<string | null> {
  return await runTests(home, inMemory, FEW_SCHEDULES) ??
    await runTests(home, onPostgres, {
      STACK: "postgres",
      DATABASE_URL: await database.create(join(home, "supabase/migrations")),
    }) ??
    await runTests(home, overHttp, { STACK: "pglite" });
}

async function trySql(
  mutant: Mutant,
  migrations: string,
  { home, root, database, baseline }: Trial,
): Promise<string | null> {
  const { pgtap, onPostgres, simulation } = baseline;
  let url: string;
  try {
    url = await database.create(migrations);
  } catch (error) {
    return `the migration: ${(error as Error).message}`;
  }
  const part = /(\w+)\.sql$/.exec(mutant.file)![1]!;
  const first = LOOKED_AT_FIRST[part] ?? /^$/;
  const files = pgtap.toSorted((a, b) =>
    Number(first.test(b)) - Number(first.test(a))
  );
  for (const file of files) {
    if ((await runPgtapFile(url, file)).failed > 0) return `tests/sql/${file}`;
  }
  const env = { STACK: "postgres", DATABASE_URL: url };
  const shipped = join(home, "supabase/migrations");
  await copyFolder(migrations, shipped);
  try {
    return await runTests(home, onPostgres, env) ??
      await runTests(home, simulation, FEW_SCHEDULES);
  } finally {
    await copyFolder(join(root, "supabase/migrations"), shipped);
  }
}

/**
 * The test that failed, or `null`. One that meets a database on a busy machine
 * has to fail twice: a mutant that nothing notices must not look killed.
 */
async function runTests(
  home: string,
  files: readonly string[],
  env: Record<string, string>,
): Promise<string | null> {
  if (files.length === 0) return null;
  const failed = await runTestsOnce(home, files, env);
  if (failed === null || !("STACK" in env)) return failed;
  return await runTestsOnce(home, files, env);
}

async function runTestsOnce(
  home: string,
  files: readonly string[],
  env: Record<string, string>,
): Promise<string | null> {
  const result = await runDeno([
    "test",
    "--allow-all",
    "--no-check",
    "--quiet",
    "--fail-fast",
    // Those that share a database would stand in each other's way.
    ...("DATABASE_URL" in env ? [] : ["--parallel"]),
    ...(files.some((file) => SIMULATION.includes(file))
      ? [`--filter=${NO_MUTATIONS}`]
      : []),
    ...files,
  ], {
    cwd: home,
    env: { LITE_AUTH_BCRYPT_COST: "4", ...env },
    timeoutMs: MOST_TEST_MS,
  });
  if (result.code === 0) return null;
  const failed = /^(.*) => (\S+?):\d+:\d+$/m.exec(result.stdout);
  return failed === null
    ? `${files[0]}: ended with ${result.code}`
    : `${failed[2]}: ${failed[1]!.trim()}`;
}

/** The migrations, in which the one of the ledger is made of broken parts. */
async function writeMigrations(root: string, mutant: Mutant, folder: string) {
  await copyFolder(join(root, "supabase/migrations"), folder);
  const source = await Deno.readTextFile(join(root, mutant.file));
  for await (const { name } of Deno.readDir(folder)) {
    const text = await Deno.readTextFile(join(folder, name));
    const at = text.indexOf(source.trim());
    if (at === -1) continue;
    const broken = text.replace(source.trim(), () => mutant.text.trim());
    return await Deno.writeTextFile(join(folder, name), broken);
  }
  throw new Error(
    `Cannot break ${mutant.file}: no migration holds it, run deno task sql`,
  );
}

async function copyFolder(from: string, to: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(from)) {
    if (isFile) await Deno.copyFile(join(from, name), join(to, name));
  }
}

interface Databases {
  /** Makes a database with these migrations. */
  create(migrations: string): Promise<string>;
  close(): Promise<void>;
}

function openDatabase({ url }: PostgresCluster): Databases {
  const admin = postgres(`${dirname(url)}/template1`, {
    max: 1,
    onnotice: () => {},
  });
  let number = 0;
  let last: string | undefined;
  return {
    async create(folder) {
      if (last !== undefined) {
        await admin.unsafe(`drop database ${last} with (force)`);
      }
      last = `trial_${++number}`;
      await admin.unsafe(`create database ${last} template postgres`);
      await admin.unsafe(
        `alter database ${last} set search_path = "$user", public, extensions`,
      );
      const own = `${dirname(url)}/${last}`;
      const database = await openPostgres(own);
      try {
        await applyMigrations(database, await readMigrations(folder));
      } finally {
        await database.close();
      }
      return own;
    },
    close: () => admin.end(),
  };
}
