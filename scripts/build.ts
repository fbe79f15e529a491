/**
 * Writes the npm package to `dist/npm/`: `deno task build`.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { ROOT } from "./check/check.ts";
import { buildPackage } from "./package/build.ts";
import { readTask, taskOptions } from "./task.ts";

const USAGE = `Usage: deno task build

Writes the npm package to dist/npm/.
`;

readTask("build", () => taskOptions(USAGE, {}));

const { name, version, files } = await buildPackage(
  fileURLToPath(new URL("dist/npm/", ROOT)),
);
console.log(`wrote ${name}@${version} to dist/npm/ (${files.length} files)`);
