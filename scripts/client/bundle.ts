import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { ROOT } from "../check/check.ts";

/** How {@link bundleClient} makes its bundle. */
export interface BundleOptions {
  /**
   * Whether to leave out what only people read.
   *
   * @default {true}
   */
  minify?: boolean;
  /**
   * What an app imports; the rest is left out.
   *
   * @default {everything}
   */
  imports?: readonly string[];
}

/** Makes an ES module for browsers of the client. */
export async function bundleClient(
  { minify = true, imports }: BundleOptions = {},
): Promise<string> {
  const names = imports === undefined ? "*" : `{ ${imports.join(", ")} }`;
  const { outputFiles } = await build({
    stdin: {
      contents: `export ${names} from "./shared/client.ts";`,
      resolveDir: fileURLToPath(ROOT),
    },
    bundle: true,
    write: false,
    minify,
    format: "esm",
    platform: "browser",
    target: "es2022",
    charset: "utf8",
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}
