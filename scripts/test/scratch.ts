import { statfsSync } from "node:fs";

const MEMORY = "/dev/shm";
const ENOUGH_BYTES = 4 * 2 ** 30;

/**
 * Lets the clusters and projects of a test run, thousands of files that live
 * for seconds, lie in memory where the machine has room there, and says so to
 * every process by `TMPDIR`. A folder that was named already is kept.
 */
export function useScratchMemory(): void {
  if (Deno.env.get("TMPDIR")) return;
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    if (bavail * bsize >= ENOUGH_BYTES) Deno.env.set("TMPDIR", MEMORY);
  } catch {
    // No such folder, as on macOS: the usual one does.
  }
}
