import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as module from "../../shared/idempotency.ts";

/** The module as a project has it, loaded from there. */
export async function moduleOf(project: string): Promise<typeof module> {
  const file = join(project, "supabase/functions/_shared/idempotency.ts");
  return await import(pathToFileURL(file).href);
}
