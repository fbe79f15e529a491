import { dirname, join } from "node:path";
import postgres from "postgres";
import { runCommand } from "../check/command.ts";
import { type PostgresCluster, startCluster } from "../cluster/postgres.ts";
import { prepareProject } from "../cluster/supabase_cluster.ts";
import { readMigrations } from "../migrate/migration.ts";
import { applyMigrations } from "../stack/migrations.ts";
import { openPostgres } from "../stack/postgres.ts";
import type { Mutant } from "./mutant.ts";
import { type KnownTest, recordTest, runTest, type TestFile } from "./tests.ts";

const FOLDERS = ["shared", "scripts", "tests", "supabase", "functions", "docs"];

/** Where the core is, which the tests are watched running. */
export const CORE = "shared/idempotency";

/** What notices SQL that is none: no test had to. */
export const REFUSED = "Postgres refused it";

/** A copy of the tree, with a Postgres of its own, to break. */
export interface Bench extends AsyncDisposable {
  /** Runs a test on the tree as it is; `null` when it does not pass. */
  record(test: TestFile): Promise<KnownTest | null>;
  /** Tries a mutant: what noticed it, or `null`. */
  try(mutant: Mutant, tests: readonly KnownTest[]): Promise<string | null>;
}

/** A copy of the tree, whole and as it is: whoever goes on working is not in the way. */
export async function copyTree(root: string): Promise<string> {
  const home = await Deno.makeTempDir({ prefix: "mutate-" });
  for (const name of [...FOLDERS, "deno.json", "deno.lock"]) {
    const copied = await runCommand("cp", ["-r", join(root, name), home]);
    if (copied.code !== 0) throw new Error(`copying ${name}: ${copied.stderr}`);
  }
  return home;
}

/** Copies a tree that nobody changes, and starts a Postgres. */
export async function openBench(root: string): Promise<Bench> {
  const home = await copyTree(root);
  const cluster = await startCluster({ settings: { track_functions: "all" } });
  const databases = openDatabases(cluster);
  const close = async () => {
    await databases.close();
    await cluster.close();
    await Deno.remove(home, { recursive: true });
  };
  try {
    // Without the migrations: those are what is broken.
    await prepareProject(cluster.url, { pgtap: true });
    await databases.make(SOUND, "postgres", join(home, MIGRATIONS));
    return {
      record: (test) =>
        recordTest(test, home, CORE, () => databases.make(TRIAL, SOUND)),
      try: (mutant, tests) => tryOut(mutant, tests, { root, home, databases }),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const MIGRATIONS = "supabase/migrations";
const SOUND = "sound";
const BROKEN = "broken";
const TRIAL = "trial";

interface Trial {
  readonly root: string;
  readonly home: string;
  readonly databases: Databases;
}

async function tryOut(
  mutant: Mutant,
  tests: readonly KnownTest[],
  { root, home, databases }: Trial,
): Promise<string | null> {
  const isSql = mutant.file.endsWith(".sql");
  const broken = isSql
    ? [mutant.file, await breakMigration(root, home, mutant)]
    : [mutant.file];
  await Deno.writeTextFile(join(home, mutant.file), mutant.text);
  try {
    if (isSql) {
      try {
        await databases.make(BROKEN, "postgres", join(home, MIGRATIONS));
      } catch (error) {
        return `${REFUSED}: ${(error as Error).message}`;
      }
    }
    const look = async (test: KnownTest) =>
      await runTest(
        test,
        home,
        test.database
          ? await databases.make(TRIAL, isSql ? BROKEN : SOUND)
          : null,
      );
    for (const test of tests) {
      const failed = await look(test);
      if (failed === null) continue;
      // A mutant that nothing notices must not look killed by a busy machine.
      if (test.isTimed && await look(test) === null) continue;
      return failed;
    }
    return null;
  } finally {
    for (const file of broken) {
      await Deno.copyFile(join(root, file), join(home, file));
    }
  }
}

/**
 * Those that run what the mutant breaks, in the order to ask them: first what
 * runs much of its file in little time. A line that nobody counted is run by
 * whoever loads its file.
 */
export function testsOf(
  { file, line, lastLine, routine }: Mutant,
  tests: readonly KnownTest[],
): KnownTest[] {
  const isRun = ({ missed }: KnownTest) => {
    const lines = missed[file];
    if (lines === undefined) return false;
    for (let at = line; at <= lastLine; at++) {
      if (!lines.includes(at)) return true;
    }
    return false;
  };
  const meetsSql = (test: KnownTest) =>
    test.database || test.file === "tests/proof/simulation/sql.test.ts";
  const isCalled = ({ routines }: KnownTest) =>
    routine === null || routines === null || routines.includes(routine);
  const isKnown = tests.some(({ routines }) =>
    routine !== null && routines?.includes(routine)
  );
  const asked = tests.filter((test) =>
    file.endsWith(".sql")
      ? meetsSql(test) && (!isKnown || isCalled(test))
      : isRun(test)
  );
  const missedOf = ({ missed }: KnownTest) => missed[file]?.length ?? 0;
  const most = Math.max(...asked.map(missedOf));
  const price = (test: KnownTest) =>
    test.ms * (test.isTimed ? 2 : 1) / (1 + most - missedOf(test));
  return asked.sort((a, b) => price(a) - price(b));
}

/** Breaks the migration that ships a part of the SQL; answers its path. */
async function breakMigration(
  root: string,
  home: string,
  { file, text }: Mutant,
): Promise<string> {
  const source = await Deno.readTextFile(join(root, file));
  for await (const { name } of Deno.readDir(join(root, MIGRATIONS))) {
    const path = join(MIGRATIONS, name);
    const migration = await Deno.readTextFile(join(root, path));
    if (!migration.includes(source.trim())) continue;
    await Deno.writeTextFile(
      join(home, path),
      migration.replace(source.trim(), () => text.trim()),
    );
    return path;
  }
  throw new Error(
    `Cannot break ${file}: no migration holds it, run deno task sql`,
  );
}

interface Databases {
  /** Makes a database anew, as a copy and with these migrations. */
  make(name: string, from: string, migrations?: string): Promise<string>;
  close(): Promise<void>;
}

function openDatabases({ url }: PostgresCluster): Databases {
  const admin = postgres(`${dirname(url)}/template1`, {
    max: 1,
    onnotice: () => {},
  });
  return {
    async make(name, from, migrations) {
      await admin.unsafe(`drop database if exists ${name} with (force)`);
      await admin.unsafe(`create database ${name} template ${from}`);
      // A setting of a database is not copied.
      await admin.unsafe(
        `alter database ${name} set search_path = "$user", public, extensions`,
      );
      const own = `${dirname(url)}/${name}`;
      if (migrations === undefined) return own;
      const database = await openPostgres(own);
      try {
        await applyMigrations(database, await readMigrations(migrations));
      } finally {
        await database.close();
      }
      return own;
    },
    close: () => admin.end(),
  };
}
