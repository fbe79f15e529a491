import { z } from "zod";
import { disallowed, type Finding } from "./allowed_findings.ts";
import type { Check, Problems } from "./check.ts";
import { printed } from "./command.ts";
import { migratedCluster } from "../cluster/supabase_cluster.ts";
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
    cacheKey: z.string(),
  })),
});

/** Runs a `supabase db` command on a fresh cluster and reads its report. */
async function report<T>(
  args: readonly string[],
  shape: z.ZodType<T>,
): Promise<T> {
  await using cluster = await migratedCluster();
  const result = await runSupabase([
    "db",
    ...args,
    "--output-format",
    "json",
    `--remote=${cluster.url}`,
  ]);
  if (result.code !== 0) {
    throw new Error(`supabase db ${args.join(" ")}: ${printed(result)}`);
  }
  return shape.parse(JSON.parse(result.stdout));
}

async function runLint(): Promise<Problems> {
  const { results } = await report(
    ["lint", "--schema", "public", "--level", "warning"],
    LintReport,
  );
  const findings: Finding[] = results.flatMap((result) =>
    result.issues.map((issue) => ({
      key: [result.function, issue.message, issue.detail].filter(Boolean)
        .join(": "),
      text: [
        [result.function, issue.level, issue.message, issue.detail]
          .filter(Boolean).join(": "),
        issue.statement &&
        `line ${issue.statement.lineNumber}, ${issue.statement.text}`,
      ].filter(Boolean).join(" at "),
    }))
  );
  return await disallowed("lint", findings);
}

async function runAdvisors(): Promise<Problems> {
  const { results } = await report(
    ["advisors", "--type", "all", "--level", "info"],
    AdvisorsReport,
  );
  const findings: Finding[] = results.map((result) => ({
    key: result.cacheKey,
    text: `${result.level}: ${result.detail} (${result.remediation})`,
  }));
  return await disallowed("advisors", findings);
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
