import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { within } from "./background.ts";
import { forward, type LoadedFunction } from "./function_module.ts";

const MAIN = fileURLToPath(new URL("function_main.ts", import.meta.url));
const CRASH_MS = 1_000;
// A little more than the process gives what is running in it.
const END_MS = 12_000;

/** A function in a process of its own. */
export interface FunctionProcess extends LoadedFunction {
  /** Resolves when the process has ended, by itself or because it was closed. */
  ended: Promise<void>;
}

/**
 * Loads a function in a process of its own, which is where another import map
 * can hold. The process ends with this one, however that ends.
 *
 * @param importMap A `deno.json`, or an import map by itself.
 * @param signal Ends it at once, loaded or not.
 * @throws {Error} When it cannot be loaded; it has said why on stderr
 */
export async function startFunctionProcess(
  entrypoint: string,
  importMap: string,
  signal: AbortSignal,
): Promise<FunctionProcess> {
  const mark = crypto.randomUUID();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--quiet",
      // Nothing is written into somebody's project.
      "--no-lock",
      "--node-modules-dir=none",
      ...(/^deno\.jsonc?$/.test(basename(importMap))
        ? [`--config=${importMap}`]
        : ["--no-config", `--import-map=${importMap}`]),
      MAIN,
      entrypoint,
      mark,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    signal,
  }).spawn();
  const port = Promise.withResolvers<number>();
  const printing = passOn(child.stdout, mark, port.resolve);
  const ended = child.status.then(async () => {
    port.reject(new Error(`${entrypoint} ended before it served`));
    await printing;
  });
  const where = await port.promise;
  return {
    fetch: async (request) => {
      try {
        return await forward(request, where);
      } catch (error) {
        // Where it crashed, whoever asks next is to find that it has ended.
        await within(CRASH_MS, ended);
        throw error;
      }
    },
    close: async () => {
      await child.stdin.close().catch(() => {});
      await within(END_MS, ended);
    },
    ended,
  };
}

/** Prints what the function prints, but for the line that says where it is. */
async function passOn(
  stdout: ReadableStream<Uint8Array<ArrayBuffer>>,
  mark: string,
  onPort: (port: number) => void,
): Promise<void> {
  const encoder = new TextEncoder();
  let found = false;
  let text = "";
  for await (const chunk of stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (!found) {
      const line = new RegExp(`^${mark} (\\d+)\n`, "m").exec(text);
      if (line === null) continue;
      found = true;
      text = text.replace(line[0], "");
      onPort(Number(line[1]));
    }
    await Deno.stdout.write(encoder.encode(text));
    text = "";
  }
  if (text !== "") await Deno.stdout.write(encoder.encode(text));
}
