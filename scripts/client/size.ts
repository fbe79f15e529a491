/**
 * Tells how much the client adds to an app: `deno task client:size [--json]`.
 *
 * @module
 */
import { gzipSync } from "node:zlib";
import { printTable } from "../table.ts";
import { readTask, taskOptions } from "../task.ts";
import { bundleClient, type BundleOptions } from "./bundle.ts";

const USAGE = `Usage: deno task client:size [--json]

Tells how much the client adds to an app.

  --json               a line of JSON for each`;

const { json } = readTask("client:size", () =>
  taskOptions(USAGE, {
    json: { type: "boolean", default: false },
  }));

const CASES: readonly [string, BundleOptions][] = [
  ["createIdempotentFetch", { imports: ["createIdempotentFetch"] }],
  ["apiPost", { imports: ["apiPost"] }],
  ["everything", {}],
];

const rows = [];
for (const [imported, options] of CASES) {
  const bundle = await bundleClient(options);
  const gzipped = gzipSync(bundle, { level: 9 }).length;
  rows.push({ imported, minified: bundle.length, gzipped });
}
if (json) {
  for (const row of rows) console.log(JSON.stringify(row));
} else {
  printTable(
    ["imported", "bytes minified", "gzipped"],
    rows.map(({ imported, minified, gzipped }) => [
      imported,
      minified,
      gzipped,
    ]),
  );
}
