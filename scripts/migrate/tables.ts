import type { RunQuery } from "./history.ts";
import type { Directives } from "./migration.ts";

/** A column of a table as it is now. */
export interface Column {
  name: string;
  type: string;
  /** Computed by the database, and so neither kept nor written. */
  generated: boolean;
}

/** A table of the project as it is now. */
export interface Table {
  /** Schema and name, quoted where they have to be. */
  name: string;
  /** Another one after the table was dropped and made again. */
  oid: string;
  /** Another one after the table was truncated or rewritten. */
  filenode: string;
  columns: Column[];
  /** What feeds serial and identity columns; `last` is null before the first use. */
  sequences: { name: string; last: string | null }[];
}

/** Schemas that the platform fills and looks after itself. */
const PLATFORM_SCHEMAS = `
  _analytics _realtime auth cron extensions graphql graphql_public
  information_schema net pgbouncer pgmq pgsodium pgsodium_masks pgtle
  realtime repack storage supabase_functions supabase_migrations tiger
  tiger_data topology vault`;

/** Holds for schemas `n` that belong to the project. */
export const PROJECT_SCHEMA =
  `n.nspname not like 'pg\\_%' and n.nspname <> all (regexp_split_to_array('${PLATFORM_SCHEMAS}', '\\s+'))`;

const TABLES = `
select format('%I.%I', n.nspname, c.relname) as name, c.oid::text as oid, pg_relation_filenode(c.oid)::text as filenode,
  coalesce((
    select json_agg(json_build_object(
      'name', a.attname,
      'type', format_type(a.atttypid, a.atttypmod),
      'generated', a.attgenerated <> ''
    ) order by a.attnum)
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ), '[]') as columns,
  coalesce((
    select json_agg(json_build_object(
      'name', format('%I.%I', sn.nspname, s.relname),
      'last', pg_sequence_last_value(s.oid)::text
    ) order by s.oid)
    from pg_catalog.pg_depend as d
    join pg_catalog.pg_class as s on s.oid = d.objid and s.relkind = 'S'
    join pg_catalog.pg_namespace as sn on sn.oid = s.relnamespace
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
      and d.refobjid = c.oid and d.deptype in ('a', 'i')
  ), '[]') as sequences
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and ${PROJECT_SCHEMA}
  and not exists (
    select from pg_catalog.pg_depend as e
    where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e'
  )
order by n.nspname, c.relname`;

/**
 * Lists the project's tables: those in schemas which are neither the platform's
 * nor an extension's. Partitions are listed, the tables they are parts of hold
 * nothing themselves.
 */
export async function projectTables(query: RunQuery): Promise<Table[]> {
  return await query<Table>(TABLES);
}

/** Counts the rows of a table. */
export async function countRows(
  query: RunQuery,
  name: string,
): Promise<number> {
  const [row] = await query<{ rows: number }>(
    `select count(*)::float8 as rows from only ${name}`,
  );
  return row!.rows;
}

/** Quotes an identifier. */
export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

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

/** A table that has fewer rows after a migration than before. */
export interface RowLoss {
  table: string;
  /** What is to be told of it. */
  text: string;
  /** Users may have deleted these rows after they were counted. */
  doubtful: boolean;
}

/**
 * Finds tables that have fewer rows after a migration than before, in its own
 * transaction: by what it deleted, and for tables that it dropped, truncated or
 * rewrote by a count against `known`.
 *
 * @param locked Tables that nobody else could write since they were counted.
 * @returns none for tables which the file names
 */
export async function rowLosses(
  query: RunQuery,
  before: RowsBefore,
  known: KnownRows,
  locked: ReadonlySet<string>,
  removesRows: Directives["removesRows"],
): Promise<RowLoss[]> {
  const now = new Map((await projectTables(query)).map((t) => [t.name, t]));
  const deleted = await netDeletions(query);
  const losses: RowLoss[] = [];
  for (const [name, old] of before.tables) {
    const table = now.get(name);
    const rows = known.get(name) ?? 0;
    const same = table?.oid === old.oid && table.filenode === old.filenode;
    const lost = (deleted.get(name) ?? 0) - (before.deleted.get(name) ?? 0);
    const after = same
      ? null
      : table === undefined
      ? 0
      : await countRows(query, name);
    if (after !== null) known.set(name, after);
    if (removesRows === "all" || removesRows.has(name)) continue;
    if (after !== null && after < rows) {
      losses.push({
        table: name,
        text: table === undefined
          ? `${name} is gone, with ${rows} rows`
          : `${name} had ${rows} rows and has ${after}`,
        doubtful: !locked.has(name),
      });
    } else if (same && lost > 0) {
      const text = `${name} has ${lost} rows less`;
      losses.push({ table: name, text, doubtful: false });
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
