import { MigrationRefusedError } from "./errors.ts";

/** What a file says about itself in comments `-- migrate: …`. */
export interface Directives {
  /** Tables that may end up with fewer rows; `all` for any. */
  removesRows: "all" | ReadonlySet<string>;
  /** Must not run in a transaction, although nothing in it shows that. */
  noTransaction: boolean;
  /** For a rollback file: the first and last version it takes back. */
  undoes: { from: string; to: string } | null;
}

const KNOWN =
  "`removes rows`, `removes rows from schema.table, …`, `no transaction`, `undoes VERSION to VERSION`";

/**
 * Reads the directives of a file.
 *
 * @throws {MigrationRefusedError} on one that is not known: a typing error in
 * it would otherwise switch a safeguard off or on in silence
 *
 * @example
 * ```ts
 * import { readDirectives } from "./scripts/migrate/directives.ts";
 * const sql = "-- migrate: removes rows from public.drafts\ndelete from public.drafts;";
 * console.assert((readDirectives("1_a.sql", sql).removesRows as Set<string>).has("public.drafts"));
 * ```
 */
export function readDirectives(file: string, sql: string): Directives {
  const tables = new Set<string>();
  const found: Directives = {
    removesRows: tables,
    noTransaction: false,
    undoes: null,
  };
  for (const [, text = ""] of sql.matchAll(/^[ \t]*--[ \t]*migrate:(.*)$/gm)) {
    const words = text.trim().replace(/\.$/, "");
    const from = /^removes rows from (\S.*)$/.exec(words)?.[1];
    const range = /^undoes (\d+)(?: to (\d+))?$/.exec(words);
    if (words === "removes rows") found.removesRows = "all";
    else if (words === "no transaction") found.noTransaction = true;
    else if (from !== undefined) {
      for (const name of from.split(",")) tables.add(name.trim());
    } else if (range) {
      const [, first = "", last = first] = range;
      found.undoes = { from: first, to: last };
    } else {
      throw new MigrationRefusedError(
        `Cannot read ${file}: unknown directive \`-- migrate: ${words}\`; there are ${KNOWN}`,
      );
    }
  }
  return found;
}
