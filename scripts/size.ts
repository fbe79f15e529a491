/**
 * Tells what the core adds to a function: `deno task size [--json]`. Its size
 * as one minified module, what each npm package has of it, and how much later a
 * process is ready that imports it.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { percentile } from "./bench/row.ts";
import { bundle } from "./bundle.ts";
import { ROOT } from "./check/check.ts";
import { printed, runDeno } from "./check/command.ts";
import { printTable } from "./table.ts";
import { readTask, taskOptions } from "./task.ts";

const USAGE = `Usage: deno task size [--json]

Tells what the core adds to a function, in bytes and in ms of its start.

  --json               a line of JSON for each`;

/** The most that the core may add, in bytes after gzip. */
export const MOST_GZIPPED_BYTES = 60_000;

// For somebody whose function starts cold, on top of some hundreds of ms.
const MOST_IMPORT_MS = 25;

const FACE = "shared/idempotency.ts";
const STARTS = 21;

/**
 * The core as one module: its bytes, before and after gzip, and whose they are.
 *
 * @throws {Error} When it imports what only some runtimes have.
 */
export async function coreSize() {
  const { code, bytes } = await bundle(FACE, { minify: true, external: [] });
  const minified = new TextEncoder().encode(code).length;
  const gzipped = gzipSync(code, { level: 9 }).length;
  return { code, minified, gzipped, bytes };
}

/** What processes import, by name. */
function entriesOf(code: string) {
  const face = `import "${new URL(FACE, ROOT)}";`;
  const engine =
    'import "@supabase/server"; import { pipeline } from "@supabase/middleware"; pipeline;';
  return {
    empty: "",
    // As it is deployed.
    bundled: code,
    source: face,
    engine,
    "engine and source": `${engine} ${face}`,
  };
}

type Entry = keyof ReturnType<typeof entriesOf>;

/** How long processes take from start to end, in ms: the median of each. */
async function startTimes(code: string): Promise<Record<Entry, number>> {
  const home = await Deno.makeTempDir({ prefix: "size-" });
  const path = (name: string) => join(home, `${name}.mjs`);
  const entries = Object.entries(entriesOf(code)) as [Entry, string][];
  try {
    const times = new Map<Entry, number[]>();
    for (const [name, text] of entries) {
      await Deno.writeTextFile(path(name), text);
      // What is to be fetched and compiled is, before anybody looks at a clock.
      await start(path(name));
    }
    for (let n = 0; n < STARTS; n++) {
      for (const [name] of entries) {
        const from = performance.now();
        await start(path(name));
        const took = performance.now() - from;
        times.set(name, [...times.get(name) ?? [], took]);
      }
    }
    return Object.fromEntries(
      [...times].map(([name, took]) => [name, percentile(took, 50)]),
    ) as Record<Entry, number>;
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function start(path: string): Promise<void> {
  const config = fileURLToPath(new URL("deno.json", ROOT));
  const result = await runDeno([
    "run",
    "--allow-env",
    "--no-check",
    "--config",
    config,
    path,
  ]);
  if (result.code !== 0) throw new Error(printed(result));
}

if (import.meta.main) {
  const { json } = readTask("size", () =>
    taskOptions(USAGE, {
      json: { type: "boolean", default: false },
    }));
  const { code, minified, gzipped, bytes } = await coreSize();
  const times = await startTimes(code);
  const row = (
    name: string,
    value: number,
    unit: string,
    baseline: number,
  ) => ({ name, value, unit, baseline, ratio: value / baseline });
  const importRow = (name: string, of: Entry, beyond: Entry) =>
    row(name, times[of] - times[beyond], "ms", MOST_IMPORT_MS);
  const rows = [
    row("gzipped, of what it may have", gzipped, "bytes", MOST_GZIPPED_BYTES),
    row("minified, beside its own code", minified, "bytes", bytes.get("") ?? 0),
    ...[...bytes].filter(([name]) => name !== "").sort((a, b) => b[1] - a[1])
      .map(([name, size]) => row(`${name}, of all`, size, "bytes", minified)),
    importRow("import of one module, beyond an empty one", "bundled", "empty"),
    importRow(
      "import of its source, beyond an empty module",
      "source",
      "empty",
    ),
    importRow(
      "import of its source, beyond withSupabase and pipeline",
      "engine and source",
      "engine",
    ),
  ];
  if (json) {
    for (const one of rows) console.log(JSON.stringify(one));
  } else {
    printTable(
      ["", "value", "unit", "baseline", "ratio"],
      rows.map((one) => [
        one.name,
        one.value,
        one.unit,
        one.baseline,
        one.ratio,
      ]),
    );
  }
}
