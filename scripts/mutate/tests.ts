import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import postgres from "postgres";
import { ROOT } from "../check/check.ts";
import { runDeno } from "../check/command.ts";
import { runPgtapFile } from "../test/pgtap.ts";

/** A file of tests that may notice a mutant. */
export interface TestFile {
  /** From the repository's root. */
  readonly file: string;
  /** Whether it is given a database of its own. */
  readonly database: boolean;
}

/** A file that passes on the tree as it is, and what it runs of it. */
export interface KnownTest extends TestFile {
  readonly ms: number;
  /** Of each file of the core that it loads, the lines that it does not run. */
  readonly missed: Readonly<Record<string, readonly number[]>>;
  /** The SQL functions that it calls; `null`: nobody knows. */
  readonly routines: readonly string[] | null;
  /** Whether a busy machine may fail it. */
  readonly isTimed: boolean;
}

const FOLDERS = [
  { folder: "tests/core", database: false },
  { folder: "tests/sql", database: true },
  { folder: "tests/ledger", database: true },
  { folder: "tests/http", database: true },
  { folder: "tests/proof/bugs", database: false },
  // Not the crashes and faults: they take a minute each, whatever they find.
  { folder: "tests/proof/simulation", database: false },
  { folder: "tests/proof/attempts", database: false },
];
// They break the SQL themselves; here only what they break it for is asked.
const FILTERS: Readonly<Record<string, string>> = {
  "tests/proof/simulation/sql.test.ts":
    "/^(the SQL keeps|wherever two sessions)/",
};
const ENVIRONMENT = {
  LITE_AUTH_BCRYPT_COST: "4",
  SIMULATED_SCHEDULES: "15",
  SIMULATED_SECONDS: "4",
};
const CLOCKS = /setTimeout|performance\.now|Date\.now|pg_sleep|delay\(/;
// Whoever takes that much longer than usual hangs, on a busy machine, too.
const MOST_MS = (ms: number) => 10 * ms + 30_000;
const UNKNOWN_MS = 60_000;

/** What there is below a tree's root. */
async function testFiles(root: string): Promise<TestFile[]> {
  const found: TestFile[] = [];
  for (const { folder, database } of FOLDERS) {
    const names = await Array.fromAsync(
      Deno.readDir(join(root, folder)),
      ({ name }) => name,
    );
    for (const name of names.sort()) {
      if (!/\.(test\.ts|sql)$/.test(name)) continue;
      found.push({ file: `${folder}/${name}`, database });
    }
  }
  return found;
}

/**
 * Runs a file: what failed first, or `null`.
 *
 * @param url Its database.
 * @param coverage Where to write what it ran.
 */
export async function runTest(
  { file, ms = UNKNOWN_MS }: TestFile & { readonly ms?: number },
  home: string,
  url: string | null,
  coverage?: string,
): Promise<string | null> {
  if (file.endsWith(".sql")) {
    const name = file.replace("tests/sql/", "");
    const { failed, output } = await runPgtapFile(
      url!,
      name,
      pathToFileURL(join(home, "tests/sql/")),
    );
    const [first] = /^not ok.*|ERROR:.*/m.exec(output) ?? ["did not end"];
    return failed === 0 ? null : `${file}: ${first}`;
  }
  const result = await runDeno([
    "test",
    "--allow-all",
    "--no-check",
    "--cached-only",
    "--quiet",
    "--fail-fast",
    ...(coverage === undefined ? [] : [`--coverage=${coverage}`]),
    ...(file in FILTERS ? [`--filter=${FILTERS[file]}`] : []),
    file,
  ], {
    cwd: home,
    env: {
      ...ENVIRONMENT,
      ...(url === null ? {} : { STACK: "postgres", DATABASE_URL: url }),
    },
    timeoutMs: MOST_MS(ms),
  });
  if (result.code === 0) return null;
  const [, failed = `ended with ${result.code}`] =
    /^(.*\S) +=> \S+?:\d+:\d+$/m.exec(result.stdout) ?? [];
  return `${file}: ${failed}`;
}

/**
 * Runs a file on the tree as it is and records what it runs of it; `null` when
 * it does not pass, and so can notice nothing.
 */
export async function recordTest(
  test: TestFile,
  home: string,
  core: string,
  newDatabase: () => Promise<string>,
): Promise<KnownTest | null> {
  for (let look = 1; look <= 2; look++) {
    const folder = await Deno.makeTempDir();
    try {
      const url = test.database ? await newDatabase() : null;
      const start = performance.now();
      if (await runTest(test, home, url, folder) !== null) continue;
      const ms = Math.round(performance.now() - start);
      const source = await Deno.readTextFile(join(home, test.file));
      return {
        ...test,
        ms,
        missed: await missedLines(folder, home, core),
        // Nobody counts on a server that a test starts for itself.
        routines: url === null || source.includes("Cluster(")
          ? null
          : await calledRoutines(url),
        isTimed: !isPure(test) || CLOCKS.test(source),
      };
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  return null;
}

/** Whether nothing but its own work decides how long it takes. */
function isPure({ file }: TestFile): boolean {
  return /^tests\/(core|sql|proof\/bugs)\//.test(file);
}

async function missedLines(
  folder: string,
  home: string,
  core: string,
): Promise<Record<string, number[]>> {
  const { stdout } = await runDeno([
    "coverage",
    "--lcov",
    "--quiet",
    `--include=/${core}/`,
    folder,
  ], { cwd: home });
  const missed: Record<string, number[]> = {};
  for (const part of stdout.split("end_of_record")) {
    const path = /^SF:(.*)$/m.exec(part)?.[1];
    if (path === undefined) continue;
    const lines = (record: RegExp) =>
      [...part.matchAll(record)].map(([, line]) => Number(line));
    // A line counts as missed where a branch that begins on it is.
    const branches = lines(/^BRDA:(\d+),/gm);
    missed[path.slice(path.indexOf(core))] = lines(/^DA:(\d+),0$/gm)
      .filter((line) => !branches.includes(line));
  }
  return missed;
}

async function calledRoutines(url: string): Promise<string[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    const rows = await sql<{ name: string }[]>`
      select distinct funcname as name from pg_stat_user_functions
      where calls > 0 and schemaname in ('public', 'idempotency')
      order by 1`;
    return rows.map(({ name }) => name);
  } finally {
    await sql.end();
  }
}

/** Whoever can run a test on the tree as it is. */
interface Recorder {
  record(test: TestFile): Promise<KnownTest | null>;
}

const KEPT = new URL(".local/mutate.json", ROOT);

/**
 * What every test file runs, those that pass: from an earlier time where
 * nothing has changed since that could change it.
 */
export async function recordAll(
  root: string,
  recorders: readonly Recorder[],
): Promise<{ known: KnownTest[]; leftOut: string[] }> {
  const kept = await readKept();
  const shared = hashOf(
    root,
    filesBelow(root).filter((file) =>
      !/^tests\/.*\.(test\.ts|sql)$|^scripts\/mutate(?!\/tests)|^docs\//.test(
        file,
      )
    ),
  );
  const known: KnownTest[] = [];
  const leftOut: string[] = [];
  const now: Record<string, KnownTest> = {};
  const queue = (await testFiles(root)).map((test) => ({
    test,
    hash: `${shared} ${hashOf(root, [test.file])}`,
  }));
  await Promise.all(recorders.map(async (recorder) => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const { test, hash } = next;
      const found = kept[hash] ?? await recorder.record(test);
      if (found === null) leftOut.push(test.file);
      else known.push(now[hash] = found);
    }
  }));
  await Deno.mkdir(new URL(".", KEPT), { recursive: true });
  await Deno.writeTextFile(KEPT, JSON.stringify(now));
  return { known, leftOut };
}

async function readKept(): Promise<Record<string, KnownTest>> {
  try {
    return JSON.parse(await Deno.readTextFile(KEPT));
  } catch {
    return {};
  }
}

function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

function hashOf(root: string, files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}
