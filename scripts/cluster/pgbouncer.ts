import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free_ports.ts";
import { unprivilegedUser } from "./postgres.ts";

/** A connection pooler in front of a throw-away cluster. */
export interface Pooler extends AsyncDisposable {
  /** Connection string through it. */
  readonly url: string;
  /** Ends it at once, cutting every connection, and starts it again. */
  restart(): Promise<void>;
}

// Debian puts it where only root's PATH leads.
const PROGRAMS = ["/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer"];
const START_TIMEOUT_MS = 10_000;

/** Whether this machine has PgBouncer. */
export function hasPgBouncer(): boolean {
  return PROGRAMS.some((program) => existsSync(program));
}

/**
 * Starts PgBouncer in transaction mode, as hosted projects have a pooler on port
 * 6543. `null` when the program is not there.
 *
 * @param url Connection string of the server behind it.
 * @param connections To the server, at most.
 */
export async function startPgBouncer(
  url: string,
  connections: number,
): Promise<Pooler | null> {
  const program = PROGRAMS.find((program) => existsSync(program));
  if (program === undefined) return null;
  const server = new URL(url);
  const port = freePort();
  const home = await Deno.makeTempDir({ prefix: "pgbouncer-" });
  const config = join(home, "pgbouncer.ini");
  await Deno.writeTextFile(
    config,
    `[databases]
* = host=${server.hostname} port=${server.port} user=${server.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${connections}
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits,options
`,
  );
  const owner = unprivilegedUser();
  if (owner) {
    await Deno.chown(home, owner.uid, owner.gid);
    await Deno.chown(config, owner.uid, owner.gid);
  }
  const spawn = () =>
    new Deno.Command(program, {
      args: ["--quiet", config],
      cwd: "/",
      stdin: "null",
      stdout: "null",
      stderr: "null",
      ...owner,
    }).spawn();
  let child = spawn();
  const end = async (signal: Deno.Signal) => {
    child.kill(signal);
    await child.status;
  };
  const close = async () => {
    await end("SIGINT");
    await Deno.remove(home, { recursive: true });
  };
  const restart = async () => {
    await end("SIGTERM");
    child = spawn();
    await untilListening(port);
  };
  try {
    await untilListening(port);
  } catch (error) {
    await close();
    throw error;
  }
  server.port = String(port);
  return { url: server.href, restart, [Symbol.asyncDispose]: close };
}

async function untilListening(port: number): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (true) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (Date.now() > deadline) {
        throw new Error(
          `starting pgbouncer: it does not listen on port ${port}`,
          { cause: error },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
