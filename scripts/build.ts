/**
 * Writes the npm package to `dist/npm/`: `deno task build`.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { ROOT } from "./check/check.ts";
import { buildPackage } from "./package/build.ts";

if (Deno.args.length > 0) {
  console.error("Usage: deno task build");
  Deno.exit(2);
}

const { name, version, files } = await buildPackage(
  fileURLToPath(new URL("dist/npm/", ROOT)),
);
console.log(`wrote ${name}@${version} to dist/npm/ (${files.length} files)`);
