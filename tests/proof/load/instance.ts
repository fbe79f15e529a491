import type { Route } from "./terms.ts";

/** What an instance holds, in bytes, after what it does not need was freed. */
export interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
}

/** One press of a key, whose payload is `padding`. */
export interface Press {
  readonly user: string;
  readonly key: string;
  readonly padding: string;
}

/** What a press was answered. */
export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly isReplay: boolean;
  readonly ms: number;
}

/** A process that serves the routes. */
export interface Instance extends AsyncDisposable {
  press(route: Route, press: Press): Promise<Answer>;
  /** How long the way through the instance to the database takes, in ms. */
  bare(): Promise<number>;
  memory(): Promise<Memory>;
}

/** Starts one on a database. */
export async function startInstance(databaseUrl: string): Promise<Instance> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", "--no-check", "--quiet"],
      "--v8-flags=--expose-gc",
      new URL("./server.ts", import.meta.url).href,
      databaseUrl,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The instance ended before it listened");
    text += value;
  }
  const url = `http://127.0.0.1:${Number(text)}`;
  const bare = async () => {
    const startedAt = performance.now();
    await (await fetch(`${url}/bare`)).text();
    return performance.now() - startedAt;
  };
  return {
    bare,
    async press(route, { user, key, padding }) {
      const startedAt = performance.now();
      const response = await fetch(`${url}/${route}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "idempotency-key": key,
          "x-user": user,
        },
        body: JSON.stringify({ padding }),
      });
      const body = await response.text();
      return {
        status: response.status,
        body,
        isReplay: response.headers.has("x-idempotency-replay"),
        ms: performance.now() - startedAt,
      };
    },
    async memory() {
      return await (await fetch(`${url}/memory`)).json();
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await reader.cancel();
    },
  };
}
