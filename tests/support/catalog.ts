import { join } from "node:path";
import postgres from "postgres";
import { findPostgres } from "../../scripts/cluster/postgres.ts";
import { printed, runCommand } from "../../scripts/check/command.ts";

// What a dump would say, of servers whose pg_dump is not to be had.
const CATALOG = `
with schemas as (
  select oid, nspname, nspacl from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
), lines (line) as (
  select format('schema %s %s %s', nspname, nspacl, obj_description(oid, 'pg_namespace')) from schemas
  union all
  select format('extension %s', extname) from pg_extension
  union all
  select format('relation %s %s %s %s %s', c.relkind, s.nspname, c.relname, c.relacl, c.relrowsecurity)
  from pg_class as c join schemas as s on s.oid = c.relnamespace
  union all
  select format('column %s.%s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl)
  from pg_attribute as a join pg_class as c on c.oid = a.attrelid join schemas as s on s.oid = c.relnamespace
  where a.attnum > 0 and not a.attisdropped
  union all
  select format('function %s %s %s', p.oid::regprocedure, p.prosrc, p.proacl)
  from pg_proc as p join schemas as s on s.oid = p.pronamespace
  union all
  select format('type %s.%s %s', s.nspname, t.typname, t.typtype) from pg_type as t join schemas as s on s.oid = t.typnamespace
  union all
  select format('policy %s.%s', polrelid::regclass, polname) from pg_policy
  union all
  select format('constraint %s.%s %s', s.nspname, conname, pg_get_constraintdef(c.oid))
  from pg_constraint as c join schemas as s on s.oid = c.connamespace
  union all
  select format('trigger %s.%s', tgrelid::regclass, tgname) from pg_trigger
  union all
  select format('default grants %s %s', defaclobjtype, defaclacl) from pg_default_acl
  union all
  select format('event trigger %s', evtname) from pg_event_trigger
)
select line from lines order by line collate "C"`;

/** The schema of a database, by `pg_dump --schema-only` where there is one for it. */
export async function schemaOf(url: string): Promise<string> {
  const sql = postgres(url, { max: 1 });
  try {
    const [{ version } = {}] = await sql`
      select current_setting('server_version_num')::int / 10000 as version`;
    const found = findPostgres(version);
    if (found === null || found.fromNpm) {
      const rows = await sql.unsafe(CATALOG);
      return rows.map(({ line }) => line).join("\n");
    }
    const dump = await runCommand(join(found.binDir, "pg_dump"), [
      "--schema-only",
      url,
    ]);
    if (dump.code !== 0) throw new Error(printed(dump));
    // pg_dump brackets its output with a word that is new each time.
    return dump.stdout.replaceAll(/^\\(un)?restrict .*$/gm, "");
  } finally {
    await sql.end();
  }
}
