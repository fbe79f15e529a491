import { fileURLToPath } from "node:url";
import { linesOf } from "../../support/lines_of.ts";
import { Tally, type TrialLimits } from "../trial.ts";

const WORKER = fileURLToPath(new URL("growth_worker.ts", import.meta.url));

// What is compiled, cached and connected at the first use is there by then.
const SETTLED_AFTER_KEYS = 500;

// Fewer show nothing.
const LEAST_KEYS = 1_000;

// Of a hundred thousand keys this is 80 bytes each: less than a map's entry.
const MOST_BYTES = 8 * 1024 * 1024;

/**
 * Shows one isolate key after key, and looks at what stays in its memory.
 *
 * @param databaseUrl Where the ledger is; without one it is in memory.
 */
export async function watchMemory(
  { seconds }: TrialLimits,
  databaseUrl?: string,
): Promise<readonly Tally[]> {
  const tally = new Tally(
    `an isolate keeps less than ${MOST_BYTES / 1024 / 1024} MiB of its keys`,
  );
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      "--quiet",
      "--v8-flags=--expose-gc",
      WORKER,
      `${seconds}`,
      `${LEAST_KEYS}`,
      ...databaseUrl === undefined ? [] : [databaseUrl],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let settled: number | undefined;
  let last = 0;
  for await (const line of linesOf(child.stdout)) {
    const { keys, heap } = JSON.parse(line);
    if (keys < SETTLED_AFTER_KEYS) continue;
    settled ??= heap as number;
    const grown = heap - settled;
    tally.tried += keys - last;
    if (grown < MOST_BYTES) tally.held += keys - last;
    else if (tally.broken.length === 0) {
      tally.broken.push(`${grown} bytes more after ${keys} keys`);
    }
    last = keys;
  }
  const { code } = await child.status;
  if (code !== 0) throw new Error(`The isolate ended with ${code}`);
  return [tally];
}
