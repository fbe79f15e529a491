/**
 * What the contract asks of a runtime: a function behind `withIdempotency`, and
 * the ledgers' own contract. It runs as it is on each of them.
 *
 * @module
 */
import { bufferRequest, getEnv, seedContext } from "@supabase/middleware";
import {
  type IdempotencyConfig,
  type IdempotencyContext,
  memoryLedger,
  withIdempotency,
} from "../../shared/idempotency.ts";
import { ledgerCases, type LedgerName } from "./ledgers.ts";

/** What a request asks the function to do. */
export interface Behaviour {
  /** Counted for each run. */
  effect: string;
  status?: number;
  body?: string;
  bodyBase64?: string;
  /** Parts of a body that is sent as it is made. */
  stream?: string[];
  /** Whether the work takes until the effect is let go, by `/release`. */
  held?: boolean;
  /** Which attempts end in an error. */
  throwUntilAttempt?: number;
  /** Counted as its own effect, once for all attempts. */
  step?: string;
  /** Whether to answer 202 first. */
  later?: boolean;
}

const store = memoryLedger();
const effects = new Map<string, number>();
const released = new Set<string>();

function count(effect: string): void {
  effects.set(effect, (effects.get(effect) ?? 0) + 1);
}

/** As `withSupabase` would, without a project: nobody may need its clients. */
function contextOf(platform: unknown) {
  const client = {
    rpc(): never {
      throw new Error("The ledger is the store that was given");
    },
  };
  return {
    ...seedContext(platform),
    supabase: client,
    supabaseAdmin: client,
    userClaims: { id: "ada" },
    authMode: "user",
  };
}

function serve(
  request: Request,
  platform: unknown,
  config: IdempotencyConfig,
): Promise<Response> {
  const handler = withIdempotency(
    { store, ...config },
    async (request, { idempotency }) =>
      await behave(await wantedBy(request), idempotency),
  );
  return handler(bufferRequest(request), contextOf(platform));
}

async function wantedBy(request: Request): Promise<Behaviour> {
  const type = request.headers.get("content-type");
  if (type === null) {
    return { effect: new URL(request.url).searchParams.get("effect")! };
  }
  if (!type.startsWith("multipart/")) return await request.json();
  return { effect: String((await request.formData()).get("effect")) };
}

async function behave(
  wanted: Behaviour,
  { attempt, step, streamed, finishLater }: IdempotencyContext,
): Promise<Response> {
  const { effect, held = false, throwUntilAttempt = 0 } = wanted;
  const work = async () => {
    if (wanted.step !== undefined) {
      await step(wanted.step, () => {
        count(`${effect}:${wanted.step}`);
        return Promise.resolve(true);
      });
    }
    count(effect);
    while (held && !released.has(effect)) await pause(20);
    if (attempt > 0 && attempt <= throwUntilAttempt) {
      throw new Error("asked to throw");
    }
    return answer(wanted);
  };
  if (wanted.later) {
    return finishLater(new Response(null, { status: 202 }), work);
  }
  const response = await work();
  return wanted.stream === undefined ? response : streamed(response);
}

function answer(wanted: Behaviour): Response {
  const { status = 200, body = "", bodyBase64, stream } = wanted;
  const headers = { "content-type": "text/plain", "x-own": "kept" };
  if (status === 204) return new Response(null, { status, headers });
  if (stream !== undefined) {
    return new Response(streamOf(stream), { status, headers });
  }
  const content = bodyBase64 === undefined
    ? body
    : Uint8Array.from(atob(bodyBase64), (char) => char.charCodeAt(0));
  return new Response(content, { status, headers });
}

function streamOf(parts: readonly string[]): ReadableStream<Uint8Array> {
  const left = [...parts];
  return new ReadableStream({
    async pull(controller) {
      const part = left.shift();
      if (part === undefined) return controller.close();
      await pause(20);
      controller.enqueue(new TextEncoder().encode(part));
    },
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function runCase(url: URL): Promise<Response> {
  const ledger = url.searchParams.get("ledger") as LedgerName;
  const name = url.searchParams.get("case");
  const { run } = ledgerCases(ledger, getEnv)
    .find((one) => one.name === name)!;
  try {
    await run();
    return new Response("ok");
  } catch (error) {
    return new Response(String(error instanceof Error ? error.stack : error), {
      status: 500,
    });
  }
}

export default {
  async fetch(request: Request, platform?: unknown): Promise<Response> {
    const url = new URL(request.url);
    try {
      const effect = url.searchParams.get("effect") ?? "";
      if (url.pathname === "/effects") {
        return Response.json(effects.get(effect) ?? 0);
      }
      if (url.pathname === "/release") {
        released.add(effect);
        return new Response();
      }
      if (url.pathname === "/case") {
        seedContext(platform);
        return await runCase(url);
      }
      const config = JSON.parse(request.headers.get("x-config") ?? "{}");
      return await serve(request, platform, config);
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  },
};
