/**
 * The process of one function: what `startFunctionProcess` runs. Under the
 * function's import map, so that it imports nothing by a bare name.
 *
 * @module
 */
import { startBackground } from "./background.ts";
import { loadFunction } from "./function_module.ts";

const GRACE_MS = 5_000;

const [entrypoint, mark] = Deno.args as [string, string];
// Ctrl-C reaches the stack as well, which ends this process when it is done.
Deno.addSignalListener("SIGINT", () => {});

const { serve } = Deno;
const background = startBackground();
// Open for as long as the stack lives, which may be shorter than loading takes.
void (async () => {
  for await (const _ of Deno.stdin.readable);
  await background.settle(GRACE_MS);
  Deno.exit(0);
})();
const { fetch } = await loadFunction(entrypoint);
serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`${mark} ${port}`),
}, (request, info) => {
  const url = new URL(request.url);
  url.host = request.headers.get("x-forwarded-host") ?? url.host;
  // Without a signal: as on a hosted project, work goes on without the client.
  const { method, headers, body } = request;
  return fetch(new Request(url, { method, headers, body }), info);
});
