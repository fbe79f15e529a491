import { join } from "node:path";
import { findPostgres, type PostgresInstallation } from "./postgres.ts";

/** Debian's package of each extension, after `postgresql-<version>-`. */
const PACKAGES = {
  pg_cron: "cron",
  pgtap: "pgtap",
  plpgsql_check: "plpgsql-check",
};

/** A Postgres extension that tests or checks need. */
export type Extension = keyof typeof PACKAGES;

/**
 * Whether a Postgres can load the extension.
 *
 * @param version Of the server. @default what {@link findPostgres} finds
 */
export function hasExtension(extension: Extension, version?: number): boolean {
  const found = findPostgres(version);
  if (found === null) return false;
  try {
    Deno.statSync(join(extensionFolder(found), `${extension}.control`));
    return true;
  } catch {
    return false;
  }
}

function extensionFolder({ binDir, fromNpm }: PostgresInstallation): string {
  if (fromNpm) return join(binDir, "../share/postgresql/extension");
  const { stdout } = new Deno.Command(join(binDir, "pg_config"), {
    args: ["--sharedir"],
  }).outputSync();
  return join(new TextDecoder().decode(stdout).trim(), "extension");
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
  const version = found?.fromNpm === false ? found.version : 15;
  const wanted = missing.map((name) =>
    `postgresql-${version}-${PACKAGES[name]}`
  );
  if (found?.fromNpm !== false) wanted.unshift(`postgresql-${version}`);
  const what = found === null
    ? "no Postgres server found"
    : `Postgres ${found.version} ${found.fromNpm ? "from npm " : ""}lacks ${
      missing.join(", ")
    }`;
  return `${what}: apt-get install ${wanted.join(" ")}${
    found === null ? ", or name its folder in PG_BIN" : ""
  }`;
}
