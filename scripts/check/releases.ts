import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { emptyCluster, prepareProject } from "../cluster/supabase_cluster.ts";
import { namesIn, readText, SQL_PARTS, type SqlPart } from "../cli/release.ts";
import { type Check, type Problems, ROOT } from "./check.ts";
import { runCommand } from "./command.ts";
import { runPostgres, snapshot } from "./rollback.ts";

const SUMS = "SHA256SUMS";

/** A checkout, or what a test made to look like one. */
export class Releases {
  readonly #root: string;
  readonly #folder: string;

  constructor(root: string = fileURLToPath(ROOT)) {
    this.#root = root;
    this.#folder = join(root, "supabase", "releases");
  }

  /** The version of the module, from `deno.json`. */
  async version(): Promise<string> {
    return JSON.parse(await readText(join(this.#root, "deno.json"))).version;
  }

  /** Name of the file that holds a part as it was released. */
  static fileOf(version: string, part: SqlPart): string {
    return part === "idempotency" ? `${version}.sql` : `${version}.${part}.sql`;
  }

  /** The migration of a part, as the sources make it now. */
  async current(part: SqlPart): Promise<string> {
    return await readText(await this.#currentFile(part));
  }

  async #currentFile(part: SqlPart): Promise<string> {
    const folder = join(this.#root, "supabase", "migrations");
    const name = (await namesIn(folder))
      .find((name) => name.replace(/^\d+_/, "") === `${part}.sql`);
    if (name === undefined) throw new Error(`there is no migration of ${part}`);
    return join(folder, name);
  }

  /** Checksums of what is released, by the names of the files. */
  async sums(): Promise<Map<string, string>> {
    const path = join(this.#folder, SUMS);
    return existsSync(path) ? parseSums(await readText(path)) : new Map();
  }

  /** The versions that are released, the oldest first. */
  async released(): Promise<string[]> {
    const names = [...(await this.sums()).keys()];
    return names.flatMap((name) =>
      /^(\d+\.\d+\.\d+)\.sql$/.exec(name)?.[1] ?? []
    )
      .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  }

  /** The release before a version; `null` before the first. */
  async before(version: string): Promise<string | null> {
    return (await this.released()).filter((one) => one !== version).at(-1) ??
      null;
  }

  /** What is not as it was released, and what a release of now would lack. */
  async problems(): Promise<string[]> {
    const version = await this.version();
    const problems = [...await this.edited(), ...await this.unmarked(version)];
    if (!(await this.released()).includes(version)) return problems;
    for (const part of SQL_PARTS) {
      const file = join(this.#folder, Releases.fileOf(version, part));
      if (!existsSync(file)) continue;
      if (await readText(file) === await this.current(part)) continue;
      problems.push(
        `${version} is released, and supabase/schemas/${part} makes another schema now: give deno.json and idempotency.version() a new version and write supabase/releases/${version}-<new>.sql, which leads there; while no tag v${version} is pushed, deno task release ${version} --again freezes it anew`,
      );
    }
    return problems;
  }

  /** Released files that are gone or changed. */
  async edited(): Promise<string[]> {
    const problems: string[] = [];
    const sums = await this.sums();
    for (const [name, sum] of sums) {
      const path = join(this.#folder, name);
      if (!existsSync(path) || sumOf(await readText(path)) !== sum) {
        problems.push(
          `supabase/releases/${name} is released and is not what it was: projects have applied it, so changes come as a migration of their own; git restore it`,
        );
      }
    }
    for (const [name, sum] of await this.tagged()) {
      if (sums.get(name) === sum) continue;
      problems.push(
        `supabase/releases/${SUMS} says of ${name} something else than the tag of its release does`,
      );
    }
    return problems;
  }

  /** What the tags of releases say, where the clone has them. */
  async tagged(): Promise<Map<string, string>> {
    const git = (...args: string[]) =>
      runCommand("git", args, { cwd: this.#root });
    const { code, stdout } = await git("tag", "--list", "v*");
    const tags = code === 0 ? stdout.split("\n").filter(Boolean) : [];
    const texts = await Promise.all(
      tags.map((tag) => git("show", `${tag}:supabase/releases/${SUMS}`)),
    );
    return new Map(texts.flatMap(({ stdout }) => [...parseSums(stdout)]));
  }

  /** What does not name the version that `deno.json` has. */
  async unmarked(version: string): Promise<string[]> {
    const problems: string[] = [];
    const sql = await this.current("idempotency");
    const schema = /function idempotency\.version\(\)[^]*?select '([^']*)'/
      .exec(sql)?.[1];
    if (schema !== version) {
      problems.push(
        `deno.json has version ${version}, idempotency.version() in supabase/schemas/idempotency says ${schema}`,
      );
    }
    const log = await readText(join(this.#root, "CHANGELOG.md"));
    if (!log.split("\n").some((line) => line.startsWith(`## ${version}`))) {
      problems.push(`CHANGELOG.md has no heading "## ${version}"`);
    }
    const before = await this.before(version);
    const step = `${before}-${version}.sql`;
    if (before !== null && !existsSync(join(this.#folder, step))) {
      problems.push(
        `supabase/releases/${step} is not there: it is what \`upgrade\` brings to a project that has ${before}`,
      );
    }
    return problems;
  }

  /**
   * Freezes the SQL of the version that `deno.json` has.
   *
   * @returns Names of the files written.
   */
  async freeze(): Promise<string[]> {
    const version = await this.version();
    await Deno.mkdir(this.#folder, { recursive: true });
    const written: string[] = [];
    for (const part of SQL_PARTS) {
      const name = Releases.fileOf(version, part);
      await Deno.writeTextFile(
        join(this.#folder, name),
        await this.current(part),
      );
      written.push(name);
    }
    const names = (await namesIn(this.#folder))
      .filter((name) => name.endsWith(".sql"));
    const lines = await Promise.all(
      names.map(async (name) =>
        `${sumOf(await readText(join(this.#folder, name)))}  ${name}\n`
      ),
    );
    await Deno.writeTextFile(join(this.#folder, SUMS), lines.join(""));
    return [...written, SUMS];
  }

  /**
   * Whether the last step makes of the release before what the sources make
   * from nothing.
   */
  async upgradeProblems(): Promise<string[]> {
    const version = await this.version();
    const before = await this.before(version);
    if (before === null) return [];
    await using cluster = await emptyCluster();
    const names = await namesIn(this.#folder);
    const problems: string[] = [];
    for (const part of SQL_PARTS) {
      const suffix = part === "idempotency" ? ".sql" : `.${part}.sql`;
      const released = `${before}${suffix}`;
      const step = `${before}-${version}${suffix}`;
      if (!names.includes(released)) continue;
      if (
        !names.includes(step) &&
        await readText(join(this.#folder, released)) ===
          await this.current(part)
      ) continue;
      const files = [released, step].filter((name) => names.includes(name))
        .map((name) => join(this.#folder, name));
      const upgraded = await schemaAfter(cluster.url, files);
      const fresh = await schemaAfter(cluster.url, [
        await this.#currentFile(part),
      ]);
      if (upgraded === fresh) continue;
      const lines = new Set(fresh.split("\n"));
      const other = upgraded.split("\n").filter((line) => !lines.has(line));
      problems.push(
        `supabase/releases/${step} makes of ${before} another schema than supabase/schemas/${part}:\n${
          other.slice(0, 20).join("\n") || "it lacks something"
        }`,
      );
    }
    return problems;
  }
}

/** The schema of a new project after these files. */
async function schemaAfter(
  server: string,
  files: readonly string[],
): Promise<string> {
  const name = `after_${crypto.randomUUID().slice(0, 8)}`;
  await runPostgres("psql", ["-Xqc", `create database ${name}`, server]);
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).href;
  await prepareProject(url, {});
  for (const file of files) {
    await runPostgres("psql", [
      "-Xq",
      "--single-transaction",
      "--set=ON_ERROR_STOP=1",
      `--file=${file}`,
      url,
    ]);
  }
  return await snapshot(url);
}

function parseSums(text: string): Map<string, string> {
  return new Map(
    text.split("\n").filter(Boolean).map((line) => {
      const [sum = "", name = ""] = line.split(/\s+/);
      return [name, sum];
    }),
  );
}

function sumOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** What is released stays as it is. */
export const releasesCheck: Check = {
  name: "releases",
  needsPostgres: false,
  run: (): Promise<Problems> => new Releases().problems(),
};

/** The step to this version leads where a new project begins. */
export const upgradesCheck: Check = {
  name: "upgrades",
  needsPostgres: true,
  run: (): Promise<Problems> => new Releases().upgradeProblems(),
};
