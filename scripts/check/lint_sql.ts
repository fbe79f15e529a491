import postgres from "postgres";
import { z } from "zod";
import type { Check, Problems } from "./check.ts";
import { printed } from "./command.ts";
import {
  adoptedCluster,
  migratedCluster,
  type SupabaseCluster,
} from "../cluster/supabase_cluster.ts";
import { runSupabase } from "./supabase_cli.ts";

const LintReport = z.object({
  results: z.array(z.object({
    function: z.string(),
    issues: z.array(z.object({
      level: z.string(),
      message: z.string(),
      detail: z.string().optional(),
      statement: z.object({ lineNumber: z.string(), text: z.string() })
        .optional(),
    })),
  })),
});

const AdvisorsReport = z.object({
  results: z.array(z.object({
    level: z.string(),
    detail: z.string(),
    remediation: z.string(),
  })),
});

// `unused_index` tells which indexes no query has read since the server started,
// and this one was started for the check. So each is asked for what it is there
// for, rows in its order; that one which goes unread even then (it is invalid, or
// another does the same) is a finding.
const READ_ALONG_EVERY_INDEX = `
  do $$
  declare
    v_query text;
  begin
    set local enable_seqscan = off;
    set local enable_sort = off;

    for v_query in
      select format(
        'select from %s where %s order by %s',
        i.indrelid::regclass,
        coalesce(pg_get_expr(i.indpred, i.indrelid), 'true'),
        (
          select string_agg(
            pg_get_indexdef(i.indexrelid, k::integer, true)
              || case when o.flags & 1 = 1 then ' desc' else ' asc' end
              || case when o.flags & 2 = 2 then ' nulls first' else ' nulls last' end,
            ', ' order by k
          )
          from unnest(i.indoption::smallint[]) with ordinality as o (flags, k)
        )
      )
      from pg_index as i
      join pg_class as c on c.oid = i.indrelid
      where c.relnamespace <> all (array['pg_catalog', 'pg_toast', 'auth']::regnamespace[])
    loop
      execute v_query;
    end loop;
  end;
  $$`;

async function readAlongEveryIndex(url: string): Promise<void> {
  const sql = postgres(url, { max: 1 });
  try {
    await sql.unsafe(READ_ALONG_EVERY_INDEX);
  } finally {
    // The server counts what a session has read when the session ends.
    await sql.end();
  }
}

/** Runs a `supabase db` command on a database and reads its report. */
async function report<T>(
  url: string,
  args: readonly string[],
  shape: z.ZodType<T>,
): Promise<T> {
  const result = await runSupabase([
    "db",
    ...args,
    "--output-format",
    "json",
    `--remote=${url}`,
  ]);
  if (result.code !== 0) {
    throw new Error(`supabase db ${args.join(" ")}: ${printed(result)}`);
  }
  return shape.parse(JSON.parse(result.stdout));
}

async function runLint(): Promise<Problems> {
  await using cluster = await migratedCluster();
  const { results } = await report(
    cluster.url,
    ["lint", "--level", "warning"],
    LintReport,
  );
  return results.flatMap((result) =>
    result.issues.map((issue) =>
      [
        [result.function, issue.level, issue.message, issue.detail]
          .filter(Boolean).join(": "),
        issue.statement &&
        `line ${issue.statement.lineNumber}, ${issue.statement.text}`,
      ].filter(Boolean).join(" at ")
    )
  );
}

async function advise(started: Promise<SupabaseCluster>): Promise<Problems> {
  await using cluster = await started;
  await readAlongEveryIndex(cluster.url);
  const { results } = await report(
    cluster.url,
    ["advisors", "--type", "all", "--level", "info"],
    AdvisorsReport,
  );
  return results.map(({ level, detail, remediation }) =>
    `${level}: ${detail} (${remediation})`
  );
}

/** Of the whole schema, and of what a project has that took the parts alone. */
async function runAdvisors(): Promise<Problems> {
  const findings = new Set<string>();
  for (const start of [migratedCluster, adoptedCluster]) {
    for (const finding of await advise(start())) findings.add(finding);
  }
  return [...findings];
}

/** `supabase db lint`: plpgsql bodies against the schema they run on. */
export const lintSqlCheck: Check = {
  name: "lint-sql",
  needsPostgres: true,
  run: runLint,
};

/** `supabase db advisors`: security and performance of the schema. */
export const advisorsCheck: Check = {
  name: "advisors",
  needsPostgres: true,
  run: runAdvisors,
};
