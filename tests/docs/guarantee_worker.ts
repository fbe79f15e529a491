/**
 * A function in a process of its own, to be killed, frozen and cut off:
 * `guarantee_worker.ts SETTINGS`. Prints its port.
 *
 * @module
 */
import { createClient } from "@supabase/supabase-js";
import {
  type IdempotencyConfig,
  withIdempotency,
} from "../../shared/idempotency.ts";

/** What a worker is told. */
export interface WorkerSettings {
  readonly url: string;
  readonly secretKey: string;
  readonly config: IdempotencyConfig;
  /** Gets a line for each run. */
  readonly runs: string;
  /** How the first run ends. */
  readonly first: "answer" | "throw" | "fail" | "exit";
  /** Whether the others end in the same way. */
  readonly always: boolean;
  /** Milliseconds that a run takes. */
  readonly takes: number;
}

const { url, secretKey, config, runs, first, always, takes }: WorkerSettings =
  JSON.parse(Deno.args[0]!);

const handler = withIdempotency(
  {
    supabase: createClient(url, secretKey, { auth: { persistSession: false } }),
    scope: "guarantee",
    callers: "project",
    ...config,
  },
  async () => {
    Deno.writeTextFileSync(runs, "ran\n", { append: true });
    const run = Deno.readTextFileSync(runs).split("\n").length - 1;
    await new Promise((resolve) => setTimeout(resolve, takes));
    if (run === 1 || always) {
      if (first === "exit") Deno.exit(1);
      if (first === "throw") throw new Error("told to");
      if (first === "fail") return new Response(null, { status: 500 });
    }
    return Response.json({ run }, { status: 201 });
  },
);

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(port),
  onError: () => new Response(null, { status: 500 }),
}, handler);
