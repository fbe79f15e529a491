import type { Stack } from "../../../scripts/stack/stack.ts";

/** A function that the Data API could call, as the database knows it. */
export interface Procedure {
  readonly name: string;
  readonly parameters: readonly { name: string; type: string }[];
  /** Whom the grants let call it. */
  readonly anon: boolean;
  readonly authenticated: boolean;
}

/** A table or view that the Data API could reach. */
export interface Relation {
  readonly name: string;
  readonly columns: readonly string[];
  readonly key: readonly string[];
  /** What it refers to and by which constraint: a request could ask for it along with it. */
  readonly refersTo: readonly { table: string; by: string }[];
  /** Whether rows can be written through it at all. */
  readonly writable: boolean;
  /** Columns that a signed-in user may write into rows of their own. */
  readonly insertable: readonly string[];
  readonly updatable: readonly string[];
  /** Whether a signed-in user may delete rows of their own. */
  readonly deletable: boolean;
}

/** What there is to be probed: whatever a migration adds is in it by itself. */
export interface Catalogue {
  readonly procedures: readonly Procedure[];
  readonly relations: readonly Relation[];
}

const PROCEDURES = `
select
  p.proname as name,
  coalesce(a.parameters, '[]') as parameters,
  has_function_privilege('anon', p.oid, 'execute') as anon,
  has_function_privilege('authenticated', p.oid, 'execute') as authenticated
from pg_catalog.pg_proc as p
cross join lateral (
  select jsonb_agg(jsonb_build_object(
    'name', p.proargnames[i], 'type', pg_catalog.format_type(p.proargtypes[i - 1], null)
  ) order by i) as parameters
  from generate_series(1, p.pronargs) as i
) as a
where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p')
  and not exists (
    select from pg_catalog.pg_depend as d where d.objid = p.oid and d.deptype = 'e'
  )
order by p.proname, p.oid`;

const RELATIONS = `
select
  c.relname as name,
  jsonb_agg(a.attname) as columns,
  coalesce((
    select jsonb_agg(a.attname) from pg_catalog.pg_index as i
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey)
    where i.indrelid = c.oid and i.indisprimary
  ), '[]') as key,
  coalesce((
    select jsonb_agg(jsonb_build_object('table', f.confrelid::regclass::text, 'by', f.conname))
    from pg_catalog.pg_constraint as f
    where f.conrelid = c.oid and f.contype = 'f' and f.confrelid::regclass::text !~ '[.]'
  ), '[]') as "refersTo",
  pg_catalog.pg_relation_is_updatable(c.oid, false) <> 0 as writable,
  coalesce(jsonb_agg(a.attname) filter (
    where has_column_privilege('authenticated', c.oid, a.attnum, 'insert')
  ), '[]') as insertable,
  coalesce(jsonb_agg(a.attname) filter (
    where has_column_privilege('authenticated', c.oid, a.attnum, 'update')
  ), '[]') as updatable,
  has_table_privilege('authenticated', c.oid, 'delete') as deletable
from pg_catalog.pg_class as c
join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
  -- the probe's own, which no project has
  and c.relname <> 'probe_effects'
group by c.oid, c.relname
order by c.relname`;

/** Reads what a project has. */
export async function readCatalogue(
  { sql }: Pick<Stack, "sql">,
): Promise<Catalogue> {
  return {
    procedures: await sql<Procedure>(PROCEDURES),
    relations: await sql<Relation>(RELATIONS),
  };
}
