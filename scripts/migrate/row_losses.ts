import type { RunQuery } from "../stack/database.ts";
import type { Directives } from "./directives.ts";
import { countRows, projectTables, type Table } from "./tables.ts";

/** The project's tables at the beginning of a migration's transaction. */
export interface RowsBefore {
  tables: Map<string, Table>;
  /** Net deletions which the session's statistics already held, by table. */
  deleted: Map<string, number>;
}

/** Rows of each table, where they were counted before. */
export type KnownRows = Map<string, number>;

// Of this session only: what users delete meanwhile is none of the migration's doing.
const DELETED = `
select format('%I.%I', schemaname, relname) as name, (n_tup_del - n_tup_ins)::float8 as deleted
from pg_catalog.pg_stat_xact_user_tables
where n_tup_del > 0 or n_tup_ins > 0`;

async function netDeletions(query: RunQuery): Promise<Map<string, number>> {
  const rows = await query<{ name: string; deleted: number }>(DELETED);
  return new Map(rows.map(({ name, deleted }) => [name, deleted]));
}

/** Looks at the tables before a migration. */
export async function rowsBefore(query: RunQuery): Promise<RowsBefore> {
  const tables = await projectTables(query);
  return {
    tables: new Map(tables.map((table) => [table.name, table])),
    deleted: await netDeletions(query),
  };
}

/**
 * Finds tables that have fewer rows after a migration than before, in its own
 * transaction: by what it deleted, and for tables that it dropped, truncated or
 * rewrote by a count against `known`.
 *
 * @returns one sentence a table; none for tables which the file names
 */
export async function rowLosses(
  query: RunQuery,
  before: RowsBefore,
  known: KnownRows,
  { removesRows }: Directives,
): Promise<string[]> {
  const now = new Map((await projectTables(query)).map((t) => [t.name, t]));
  const deleted = await netDeletions(query);
  const losses: string[] = [];
  for (const [name, old] of before.tables) {
    const table = now.get(name);
    const rows = known.get(name) ?? 0;
    const same = table?.oid === old.oid && table.filenode === old.filenode;
    const lost = (deleted.get(name) ?? 0) - (before.deleted.get(name) ?? 0);
    const after = same || table === undefined
      ? null
      : await countRows(query, name);
    const told = removesRows === "all" || removesRows.has(name);
    if (after !== null) known.set(name, after);
    if (table === undefined) known.delete(name);
    if (told) continue;
    if (table === undefined && rows > 0) {
      losses.push(`${name} is gone, with ${rows} rows`);
    } else if (after !== null && after < rows) {
      losses.push(`${name} had ${rows} rows and has ${after}`);
    } else if (same && lost > 0) {
      losses.push(`${name} has ${lost} rows less`);
    }
  }
  return losses;
}

/** Counts every table of the project. */
export async function countAll(query: RunQuery): Promise<KnownRows> {
  const rows: KnownRows = new Map();
  for (const { name } of await projectTables(query)) {
    rows.set(name, await countRows(query, name));
  }
  return rows;
}
