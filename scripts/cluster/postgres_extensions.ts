import { join } from "node:path";
import { findPostgres } from "./postgres.ts";

/** Debian's package of each extension, after `postgresql-<version>-`. */
const PACKAGES = {
  pg_cron: "cron",
  pgtap: "pgtap",
  plpgsql_check: "plpgsql-check",
};

/** A Postgres extension that tests or checks need. */
export type Extension = keyof typeof PACKAGES;

/** Whether the Postgres that was found can load the extension. */
export function hasExtension(extension: Extension): boolean {
  const found = findPostgres();
  if (found === null) return false;
  const { success, stdout } = new Deno.Command(
    join(found.binDir, "pg_config"),
    { args: ["--sharedir"] },
  ).outputSync();
  if (!success) return false;
  const folder = new TextDecoder().decode(stdout).trim();
  try {
    Deno.statSync(join(folder, "extension", `${extension}.control`));
    return true;
  } catch {
    return false;
  }
}

/**
 * What is missing of a Postgres server with these extensions and how to get
 * it, in one line; `null` when all is there.
 */
export function missingPostgres(
  extensions: readonly Extension[],
): string | null {
  const found = findPostgres();
  const missing = extensions.filter((name) => !hasExtension(name));
  if (found !== null && missing.length === 0) return null;
  const version = found?.version ?? 15;
  const packages = missing.map((name) =>
    `postgresql-${version}-${PACKAGES[name]}`
  );
  return found === null
    ? `no Postgres server found: apt-get install ${
      [`postgresql-${version}`, ...packages].join(" ")
    }, or name its folder in PG_BIN`
    : `Postgres ${version} lacks ${missing.join(", ")}: apt-get install ${
      packages.join(" ")
    }`;
}
