import type { RunQuery } from "../stack/database.ts";

// `match simple`, the default: a row with a null among the columns refers to nothing.
const FOREIGN_KEYS = `
select f.conname as name, f.conrelid::regclass::text as child,
  format(
    'select count(*)::float8 as rows from %s as c where %s and not exists (select from %s as p where %s)',
    f.conrelid::regclass,
    string_agg(format('c.%I is not null', ca.attname), ' and '),
    f.confrelid::regclass,
    string_agg(format('p.%I = c.%I', pa.attname, ca.attname), ' and ')
  ) as orphans
from pg_catalog.pg_constraint as f
cross join lateral unnest(f.conkey, f.confkey) as k(child, parent)
join pg_catalog.pg_attribute as ca on ca.attrelid = f.conrelid and ca.attnum = k.child
join pg_catalog.pg_attribute as pa on pa.attrelid = f.confrelid and pa.attnum = k.parent
where f.contype = 'f' and f.convalidated and $1::regclass in (f.conrelid, f.confrelid)
group by f.oid, f.conname, f.conrelid, f.confrelid`;

/** Foreign keys to and from a table that some rows do not obey, in words. */
export async function brokenReferences(
  query: RunQuery,
  table: string,
): Promise<string[]> {
  const broken: string[] = [];
  const keys = await query<{ name: string; child: string; orphans: string }>(
    FOREIGN_KEYS,
    [table],
  );
  for (const { name, child, orphans } of keys) {
    const [row] = await query<{ rows: number }>(orphans);
    if (row && row.rows > 0) {
      broken.push(`${name} by ${row.rows} rows of ${child}`);
    }
  }
  return broken;
}
