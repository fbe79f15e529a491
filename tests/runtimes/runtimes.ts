import { dirname, join } from "node:path";
import { bundle } from "../../scripts/bundle.ts";
import { freePort } from "../../scripts/cluster/free_ports.ts";
import { NODE, npmProgram } from "../../scripts/npm_package.ts";

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

/** The oldest that is supported, and the newest. */
export const NODE_VERSIONS = [NODE, "26.10.0"] as const;

export const BUN_VERSION = "1.4.5";

/** How to serve something on a port. */
export interface Command {
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
      return await startServer(name, home, environment, {
        command: (port) => command(path, port, environment),
        close: () => Deno.remove(home, { recursive: true }),
      });
    },
  };
}

/** What {@link startServer} starts. */
export interface Served {
  /** How to serve it on a port of this machine. */
  command(port: number): Promise<Command> | Command;
  /**
   * What is asked of it until it answers, whatever it says.
   *
   * @default {"/effects?effect=none"}
   */
  readonly probe?: string;
  /** Called after it has ended. */
  close?(): Promise<void>;
}

/**
 * Starts a program that serves, and waits until it answers.
 *
 * @param home The folder it runs in.
 * @param environment Variables that it finds, and `PORT`.
 * @throws {Error} When it does not come up; says what it printed.
 */
export async function startServer(
  name: string,
  home: string,
  environment: Record<string, string>,
  { command, probe = "/effects?effect=none", close: closed }: Served,
): Promise<Server> {
  const port = freePort();
  const { program, args } = await command(port);
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
    await closed?.();
  };
  const url = `http://127.0.0.1:${port}`;
  if (!await answers(`${url}${probe}`, child)) {
    await close();
    throw new Error(`${name} did not serve the app:\n${await output}`);
  }
  return { url, [Symbol.asyncDispose]: close };
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
      (path) => ({ program: npmProgram("node", version), args: [path] }),
    )
  ),
  runtime("Bun", "tests/runtimes/app.ts", ["import"], (path) => ({
    program: npmProgram("bun", BUN_VERSION),
    args: ["run", path],
  })),
  runtime(
    "Workers",
    "tests/runtimes/app.ts",
    ["workerd", "worker", "import"],
    (path, port, environment) =>
      workerCommand(dirname(path), port, environment),
  ),
];

/** Serves the worker that is `app.mjs` in a folder. */
export async function workerCommand(
  folder: string,
  port: number,
  environment: Record<string, string>,
): Promise<Command> {
  const config = join(folder, "config.capnp");
  await Deno.writeTextFile(config, workerConfig(port, environment));
  return {
    program: npmProgram("workerd", "1.20261117.1"),
    args: ["serve", config],
  };
}

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
      const response = await fetch(url);
      await response.body?.cancel();
      return true;
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
