/**
 * An instance to be killed: a process of several workers, as the platform has
 * them. Arguments: how many, and their work as JSON.
 *
 * @module
 */
import type { Work } from "./worker.ts";

const workers = Number(Deno.args[0]);
const work: Work = JSON.parse(Deno.args[1]!);

for (let n = 0; n < workers; n++) {
  new Worker(new URL("./worker.ts", import.meta.url), { type: "module" })
    .postMessage({ ...work, seed: work.seed + n });
}
