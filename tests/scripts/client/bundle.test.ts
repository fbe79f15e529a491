import { assert, assertEquals } from "@std/assert";
import { gzipSync } from "node:zlib";
import { ROOT } from "../../../scripts/check/check.ts";
import {
  printed,
  runCommand,
  runDeno,
} from "../../../scripts/check/command.ts";
import {
  bundleClient,
  type BundleOptions,
} from "../../../scripts/client/bundle.ts";

const size = async (options: BundleOptions) =>
  gzipSync(await bundleClient(options), { level: 9 }).length;

Deno.test("createIdempotentFetch adds at most 4 kB gzipped to an app", async () => {
  const bytes = await size({ imports: ["createIdempotentFetch"] });
  assert(bytes <= 4096, `it adds ${bytes} bytes`);
});

Deno.test("the whole client is smaller than 5 KiB gzipped", async () => {
  const bytes = await size({});
  assert(bytes < 5120, `it has ${bytes} bytes`);
});

Deno.test("nothing of the server, of Deno or of a library is in the client", async () => {
  const { stdout } = await runDeno(["info", "--json", "shared/client.ts"]);
  const { modules } = JSON.parse(stdout) as {
    modules: { specifier: string }[];
  };
  const foreign = modules.map(({ specifier }) => specifier).filter(
    (specifier) => !specifier.startsWith(new URL("shared/client", ROOT).href),
  );
  assertEquals(foreign, []);
  const bundle = await bundleClient({ minify: false });
  for (const word of ["Deno.", "process.", "require(", "eval(", "Function("]) {
    assert(!bundle.includes(word), `the bundle contains ${word}`);
  }
});

/** Sends two orders from Node; the server loses the first answer. */
const ORDER_TWICE = `
const { apiPost, createIdempotentFetch, isReplayed } = await import(bundle);
const send = createIdempotentFetch({ match: () => true, retry: { baseMs: 1 } });
const url = server + "/functions/v1/orders";
const init = { method: "POST", body: new Blob(["1"]) };
const responses = await Promise.all([send(url, init), send(url, init)]);
const again = await apiPost(url, { item: 1 });
console.log(JSON.stringify([
  ...await Promise.all(responses.map((response) => response.json())),
  isReplayed(responses[0]), again.data, again.replayed,
]));
`;

for (
  const [where, prepare] of [
    ["Node", ""],
    [
      "where storage, locks and cryptography are missing",
      `for (const name of ["localStorage", "navigator", "crypto", "TransformStream"]) {
        Object.defineProperty(globalThis, name, { value: undefined });
      }`,
    ],
  ] as const
) {
  Deno.test(`the bundle does its work in ${where}`, async () => {
    const keys: (string | null)[] = [];
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (req) => {
        keys.push(req.headers.get("idempotency-key"));
        const isFirst = keys.length === 1;
        return isFirst ? new Response("", { status: 502 }) : Response.json(
          { order: new Set(keys).size },
          {
            headers: keys.length === 2
              ? { "X-Idempotency-Replay": "true" }
              : {},
          },
        );
      },
    );
    const folder = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(`${folder}/client.mjs`, await bundleClient());
      const constants = `const bundle = ${
        JSON.stringify(`file://${folder}/client.mjs`)
      }, server = "http://127.0.0.1:${server.addr.port}";`;
      const result = await runCommand("node", [
        "--input-type=module",
        "--eval",
        `${constants}${prepare}${ORDER_TWICE}`,
      ]);
      assertEquals(result.code, 0, printed(result));
      assertEquals(JSON.parse(result.stdout), [
        { order: 1 },
        { order: 1 },
        true,
        { order: 2 },
        false,
      ]);
      assertEquals([keys[0], keys.length], [keys[1]!, 3]);
    } finally {
      await server.shutdown();
      await Deno.remove(folder, { recursive: true });
    }
  });
}
