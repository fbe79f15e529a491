import type { RunQuery } from "./history.ts";
import type { Directives } from "./migration.ts";

/** A column of a table as it is now. */
export interface Column {
  name: string;
  /** Another one after the column was dropped and made again. */
  number: number;
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
  /**
   * What feeds serial and identity columns, and other sequences that defaults name;
   * `last` is null before the first use.
   */
  sequences: { name: string; column: string; last: string | null }[];
}

/** A table and how many rows it has. */
export interface CountedTable extends Table {
  rows: number;
}

/** Schemas that the platform fills and looks after itself. */
const PLATFORM_SCHEMAS = `
  _analytics _realtime auth cron extensions graphql graphql_public
  information_schema net pgbouncer pgmq pgsodium pgsodium_masks pgtle
  realtime repack storage supabase_functions supabase_migrations tiger
  tiger_data topology vault`;

/** Holds for schemas `n` that belong to the project. */
export const PROJECT_SCHEMA: string =
  `n.nspname not like 'pg\\_%' and n.nspname <> all (regexp_split_to_array('${PLATFORM_SCHEMAS}', '\\s+'))`;

const TABLES = `
select format('%I.%I', n.nspname, c.relname) as name, c.oid::text as oid, pg_relation_filenode(c.oid)::text as filenode,
  coalesce((
    select json_agg(json_build_object(
      'name', a.attname,
      'number', a.attnum,
      'type', format_type(a.atttypid, a.atttypmod),
      'generated', a.attgenerated <> ''
    ) order by a.attnum)
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ), '[]') as columns,
  coalesce((
    select json_agg(json_build_object(
      'name', format('%I.%I', sn.nspname, s.relname),
      'column', (
        select a.attname from pg_catalog.pg_attribute as a
        where a.attrelid = c.oid and a.attnum = u.column
      ),
      'last', pg_sequence_last_value(s.oid)::text
    ) order by u.column, s.oid)
    from (
      select d.objid as sequence, d.refobjsubid as column
      from pg_catalog.pg_depend as d
      where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
        and d.refobjid = c.oid and d.deptype in ('a', 'i')
      union
      select d.refobjid, e.adnum
      from pg_catalog.pg_attrdef as e
      join pg_catalog.pg_depend as d on d.classid = 'pg_attrdef'::regclass and d.objid = e.oid
      where e.adrelid = c.oid and d.refclassid = 'pg_class'::regclass
    ) as u
    join pg_catalog.pg_class as s on s.oid = u.sequence and s.relkind = 'S'
    join pg_catalog.pg_namespace as sn on sn.oid = s.relnamespace
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

/** Rows of each table, where they were counted before. */
export type KnownRows = Map<string, number>;

// Of this session only: what users delete meanwhile is none of the migration's doing.
const DELETED = `
select relid::text as oid, coalesce(pg_partition_root(relid)::oid, relid)::text as whole,
  (n_tup_del - n_tup_ins)::float8 as deleted
from pg_catalog.pg_stat_xact_user_tables
where n_tup_del > 0 or n_tup_ins > 0`;

interface Deletions {
  oid: string;
  /** What it is a partition of, else itself. */
  whole: string;
  deleted: number;
}

/** How many rows of a table were deleted since `before`, and went to no other partition. */
async function deletions(query: RunQuery, before: readonly Deletions[]) {
  const earlier = new Map(before.map(({ oid, deleted }) => [oid, deleted]));
  const own = new Map<string, number>();
  const inAll = new Map<string, number>();
  const wholes = new Map<string, string>();
  for (const { oid, whole, deleted } of await query<Deletions>(DELETED)) {
    const since = deleted - (earlier.get(oid) ?? 0);
    own.set(oid, since);
    inAll.set(whole, (inAll.get(whole) ?? 0) + since);
    wholes.set(oid, whole);
  }
  return (oid: string) => ({
    deleted: Math.min(own.get(oid) ?? 0, inAll.get(wholes.get(oid) ?? "") ?? 0),
    isPartition: (wholes.get(oid) ?? oid) !== oid,
  });
}

/** A table that has fewer rows after a migration than before. */
export interface RowLoss {
  table: string;
  /** What is to be told of it. */
  text: string;
  /** Users may have deleted these rows after they were counted, or nobody. */
  doubtful: boolean;
}

/**
 * Looks at the tables before a migration. What it gives finds, in the same
 * transaction, those that have fewer rows since: by what the migration deleted,
 * and for tables that it dropped, truncated or rewrote by a count against
 * `known`. Rows of `locked` tables nobody else could write since they were
 * counted.
 */
export async function watchRows(query: RunQuery): Promise<
  (
    known: KnownRows,
    locked: ReadonlySet<string>,
    removesRows: Directives["removesRows"],
  ) => Promise<RowLoss[]>
> {
  const before = await projectTables(query);
  const deletedBefore = await query<Deletions>(DELETED);
  return async (known, locked, removesRows) => {
    const tables = await projectTables(query);
    const byOid = new Map(tables.map((each) => [each.oid, each]));
    const byName = new Map(tables.map((each) => [each.name, each]));
    const deletedOf = await deletions(query, deletedBefore);
    const losses: RowLoss[] = [];
    for (const { name: table, oid, filenode } of before) {
      // The same one under another name, or another one in its place.
      const found = byOid.get(oid) ?? byName.get(table);
      const isSame = found?.oid === oid && found.filenode === filenode;
      const { deleted, isPartition } = deletedOf(oid);
      let lost = deleted;
      let left = known.get(table);
      if (isSame && lost > 0 && locked.has(table)) {
        // The server counts as deleted also what a savepoint brought back.
        const rows = left ?? 0;
        left = await countRows(query, found.name);
        lost = rows - left;
      }
      let text = `${table} has ${lost} rows less`;
      if (!isSame) {
        const rows = left ?? 0;
        left = found === undefined ? 0 : await countRows(query, found.name);
        lost = rows - left;
        text = found === undefined
          ? `${table} is gone, with ${rows} rows`
          : `${table} had ${rows} rows and has ${left}`;
      }
      if (left !== undefined) known.set(found?.name ?? table, left);
      const isMeant = removesRows === "all" || removesRows.has(table);
      if (lost <= 0 || isMeant) continue;
      const doubtful = !locked.has(table) && !(isSame && isPartition);
      losses.push({ table, text, doubtful });
    }
    return losses;
  };
}

/** Counts every table of the project. */
export async function countAll(query: RunQuery): Promise<KnownRows> {
  const known: KnownRows = new Map();
  for (const { name } of await projectTables(query)) {
    known.set(name, await countRows(query, name));
  }
  return known;
}
