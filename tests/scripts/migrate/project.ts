import { join } from "node:path";
import { assertEquals } from "@std/assert";
import pg from "pg";
import { printed } from "../../../scripts/check/command.ts";
import { runSupabase } from "../../../scripts/check/supabase_cli.ts";
import { migrate } from "../../../scripts/migrate/command.ts";
import {
  openSession,
  type Session,
  takeLock,
} from "../../../scripts/migrate/session.ts";
import type { MigrateOptions } from "../../../scripts/migrate/options.ts";

// Everything a migration may leave behind, but that it failed, in text: a dump would take longer
// than the runs that it is to judge.
const CONTENTS = `
with mine as (
  select oid, nspname as schema from pg_namespace
  where nspname !~ '^pg_' and nspname <> 'information_schema'
), relations as (
  select c.oid, format('%I.%I', m.schema, c.relname) as name, c.relkind, c.relacl::text
  from pg_class as c join mine as m on m.oid = c.relnamespace
  where m.schema <> 'supabase_migrations' or c.relname !~ '^runs'
)
select concat_ws(E'\\n',
  (select string_agg(schema, ', ' order by schema) from mine),
  (select string_agg(concat_ws(' ', name, relkind, relacl), E'\\n' order by name) from relations),
  (select string_agg(concat_ws(' ', r.name, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
     pg_get_expr(d.adbin, d.adrelid)), E'\\n' order by r.name, a.attname)
   from relations as r join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
   left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum),
  (select string_agg(pg_get_indexdef(i.indexrelid) || i.indisvalid, E'\\n' order by r.name)
   from relations as r join pg_index as i on i.indexrelid = r.oid),
  (select string_agg(concat_ws(' ', r.name, k.conname, pg_get_constraintdef(k.oid)), E'\\n' order by r.name, k.conname)
   from relations as r join pg_constraint as k on k.conrelid = r.oid),
  (select string_agg(concat_ws(' ', r.name, t.tgname), E'\\n' order by r.name, t.tgname)
   from relations as r join pg_trigger as t on t.tgrelid = r.oid),
  (select string_agg(concat_ws(' ', p.proname, p.prosrc, p.proacl::text), E'\\n' order by p.proname)
   from pg_proc as p join mine as m on m.oid = p.pronamespace),
  (select string_agg(concat_ws(' ', t.typname, t.typtype), E'\\n' order by t.typname)
   from pg_type as t join mine as m on m.oid = t.typnamespace where t.typname !~ '^_?runs$'),
  (select string_agg(name || query_to_xml('select * from ' || name || ' as t order by t::text', true, true, '')::text, E'\\n' order by name)
   from relations where relkind = 'r')
) as contents`;

const SERVER = Deno.env.get("DATABASE_URL")!;

/** A database of its own and the folder of a project that migrates it. */
export interface Project extends AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  readonly supabaseDir: string;
  readonly backupDir: string;
  /** What runs were told to log. */
  readonly log: string[];
  /** Options of a run: quick about locks. */
  readonly options: MigrateOptions;
  /** Writes a file below `supabase/`. */
  write(path: string, sql: string): Promise<void>;
  /** Runs a statement in a session that has nothing to do with migrating. */
  sql<T = Record<string, unknown>>(text: string): Promise<T[]>;
  /** Schema and data of everything, as text. */
  contents(): Promise<string>;
  /** Versions that are recorded. */
  recorded(): Promise<string[]>;
  /** Runs the command line. */
  command(
    ...args: string[]
  ): Promise<{ code: number; text: string; stdout: string }>;
  /** A session that holds the lock. */
  locked(): Promise<Session>;
  /** Waits until a session of a runner is at a statement like this one. */
  untilRunning(pattern: string): Promise<number>;
}

// Making a database costs more than most tests: an emptied one does as well.
const spare: string[] = [];
const EMPTY = `
do $$
declare
  v_schema text;
begin
  perform pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid();
  for v_schema in
    select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
  loop
    execute format('drop schema %I cascade', v_schema);
  end loop;
end;
$$;
create schema public`;

async function emptyDatabase(server: pg.Client): Promise<string> {
  const free = spare.pop();
  if (free !== undefined) return free;
  const name = `project_${crypto.randomUUID().slice(0, 8)}`;
  await server.query(`create database ${name}`);
  return name;
}

/** Creates one. */
export async function newProject(): Promise<Project> {
  const server = new pg.Client({ connectionString: SERVER });
  await server.connect();
  const name = await emptyDatabase(server);
  const url = Object.assign(new URL(SERVER), { pathname: `/${name}` }).href;
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const folder = await Deno.makeTempDir({ prefix: "migrate-" });
  const supabaseDir = join(folder, "supabase");
  const backupDir = join(folder, "backups");
  const sessions: Session[] = [];
  const log: string[] = [];
  const sql = async <T>(text: string) => (await client.query(text)).rows as T[];
  return {
    url,
    folder,
    supabaseDir,
    backupDir,
    log,
    options: {
      databaseUrl: url,
      supabaseDir,
      backupDir,
      lockTimeoutMs: 500,
      lockRetries: 0,
      log: (line) => log.push(line),
    },
    async write(path, text) {
      const file = join(supabaseDir, path);
      await Deno.mkdir(join(file, ".."), { recursive: true });
      await Deno.writeTextFile(file, text);
    },
    sql,
    async contents() {
      const [row] = await sql<{ contents: string }>(CONTENTS);
      return row!.contents;
    },
    async recorded() {
      const rows = await sql<{ version: string }>(
        "select version from supabase_migrations.schema_migrations order by 1",
      );
      return rows.map(({ version }) => version);
    },
    async command(...args) {
      const stdout: string[] = [];
      const all: string[] = [];
      const code = await migrate([
        ...args,
        `--database-url=${url}`,
        `--supabase-dir=${supabaseDir}`,
        `--backup-dir=${backupDir}`,
      ], {
        print: (line) => {
          stdout.push(line);
          all.push(line);
        },
        printError: (line) => all.push(line),
      });
      return { code, text: all.join("\n"), stdout: stdout.join("\n") };
    },
    async locked() {
      const session = await openSession(url);
      sessions.push(session);
      await takeLock(session, 0);
      return session;
    },
    async untilRunning(pattern) {
      for (const end = Date.now() + 60_000; Date.now() < end;) {
        const [row] = (await server.query(
          `select pid from pg_stat_activity where datname = $1 and state = 'active'
             and application_name = 'deno task migrate' and query like $2`,
          [name, pattern],
        )).rows;
        if (row) return row.pid;
        await new Promise((wake) => setTimeout(wake, 20));
      }
      throw new Error(`no runner came to ${pattern}`);
    },
    async [Symbol.asyncDispose]() {
      for (const session of sessions) await session.close();
      await client.query("rollback");
      await client.query(EMPTY);
      await client.end();
      spare.push(name);
      await server.end();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Runs the Supabase CLI in a project, and answers what it prints. */
export async function supabase(
  project: Project,
  ...args: string[]
): Promise<string> {
  await project.write(
    "config.toml",
    'project_id = "x"\n[db]\nmajor_version = 15\n',
  );
  const result = await runSupabase([...args, `--remote=${project.url}`], {
    workdir: project.folder,
  });
  assertEquals(result.code, 0, printed(result));
  return printed(result);
}
