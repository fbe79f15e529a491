import { z } from "zod";
import type { Problems } from "./check.ts";

/** Something an analyser said about the schema. */
export interface Finding {
  /** Identifies the finding across runs; allowed findings name its start. */
  readonly key: string;
  /** What to show a person. */
  readonly text: string;
}

const Allowed = z.record(
  z.string(),
  z.array(
    z.strictObject({ finding: z.string().min(1), reason: z.string().min(20) }),
  ),
);

const FILE = "allowed_findings.json";

/**
 * Findings nobody has written a reason for, and reasons for findings that are
 * gone: an allowance that outlives its finding would hide the next one.
 *
 * @param analyser Entry of `allowed_findings.json` that applies.
 */
export async function disallowed(
  analyser: string,
  findings: readonly Finding[],
): Promise<Problems> {
  const text = await Deno.readTextFile(new URL(FILE, import.meta.url));
  const allowed = Allowed.parse(JSON.parse(text))[analyser] ?? [];
  const problems = findings
    .filter(({ key }) =>
      !allowed.some((entry) => key.startsWith(entry.finding))
    )
    .map((finding) => `${finding.text}\n  allow it as: ${finding.key}`);
  for (const { finding } of allowed) {
    if (!findings.some(({ key }) => key.startsWith(finding))) {
      problems.push(`${FILE} allows ${finding}, which was not found`);
    }
  }
  return problems;
}
