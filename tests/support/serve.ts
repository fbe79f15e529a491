import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import {
  corsHeaders,
  type IdempotencyConfig,
  type IdempotencyContext,
  withIdempotency,
} from "../../shared/idempotency.ts";
import type { Keys } from "../../scripts/stack/keys.ts";
import type { Stack } from "../../scripts/stack/stack.ts";
import { checkToken } from "../../scripts/stack/tokens.ts";
import type { Actor } from "./stack.ts";

/** A function that a test brings along, reached over HTTP. */
export interface Served extends AsyncDisposable {
  /** Sends a request; the body of the answer is left to be read. */
  ask(actor: Actor, key: string, init?: RequestInit): Promise<Response>;
}

/**
 * Serves a handler as an edge function with `withIdempotency`, in this process
 * and beside the running stack.
 */
export function serve(
  stack: Stack,
  config: IdempotencyConfig,
  handler: (
    idempotency: IdempotencyContext,
  ) => Response | Promise<Response>,
): Served {
  const fetchHandler = pipeline(
    [
      withSupabase({ auth: "user", cors: { headers: corsHeaders } }),
      withIdempotency(config),
    ],
    async (_req, { idempotency }) => await handler(idempotency),
  );
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    onError: () => new Response("the handler threw", { status: 500 }),
  }, behindGateway(stack, fetchHandler));
  return {
    ask: (actor, key, init = {}) =>
      fetch(`http://127.0.0.1:${server.addr.port}/`, {
        method: "POST",
        headers: {
          ...actor.headers,
          "Idempotency-Key": key,
          // Deno.serve compresses text, and holds chunks back to do so.
          "Accept-Encoding": "identity",
        },
        ...init,
      }),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A function as it is called through the gateway, which checks its tokens. */
export function behindGateway(
  stack: Stack,
  fetchHandler: (req: Request) => Promise<Response>,
): (req: Request) => Promise<Response> {
  return async (req) => {
    const [row] = await stack.sql<{ keys: Keys }>(
      "select keys from local_stack.keys",
    );
    const headers = new Headers(req.headers);
    const check = await checkToken(headers, row!.keys);
    if (check.state === "valid") {
      headers.set("Authorization", `Bearer ${check.token}`);
    }
    return await fetchHandler(new Request(req, { headers }));
  };
}
