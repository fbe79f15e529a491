import { createClient } from "redis";

/** Sends one command with its arguments, and gives back its answer. */
export type Send = (command: string[]) => Promise<unknown>;

/** Whether this machine has a Redis server. */
export function hasRedis(): boolean {
  try {
    return new Deno.Command("redis-server", { args: ["--version"] })
      .outputSync().success;
  } catch {
    return false;
  }
}

/** Starts a Redis server of its own on a socket, which keeps nothing. */
export async function startRedis(): Promise<AsyncDisposable & { send: Send }> {
  const home = await Deno.makeTempDir();
  const socket = `${home}/socket`;
  const settings = ["--port", "0", "--unixsocket", socket, "--save", ""];
  const server = new Deno.Command("redis-server", {
    args: settings,
    cwd: home,
    stdout: "null",
    stderr: "null",
  }).spawn();
  while (!await Deno.stat(socket).then(() => true, () => false)) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const client = await createClient({ socket: { path: socket, tls: false } })
    .connect();
  return {
    send: (command) => client.sendCommand(command),
    [Symbol.asyncDispose]: async () => {
      await client.close();
      server.kill("SIGTERM");
      await server.status;
      await Deno.remove(home, { recursive: true });
    },
  };
}
