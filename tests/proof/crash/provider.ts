import type { Call } from "./operations.ts";

/**
 * A provider that is out of every worker and of the database, and counts. A
 * call with a key is one job however often it comes; without, each is another.
 */
export interface Provider extends AsyncDisposable {
  readonly url: string;
  readonly calls: readonly (Call & { readonly job: number })[];
  /** Calls that came when an earlier attempt knew their step to be kept. */
  readonly late: readonly Call[];
  /** Forgets all that it was told. */
  forget(): void;
}

/** Starts it on a free loopback port. */
export function startProvider(): Provider {
  let calls: (Call & { job: number })[] = [];
  let late: Call[] = [];
  const jobs = new Map<string, number>();
  /** The first attempt that knew a key's step to be kept. */
  const kept = new Map<string, number>();
  let count = 0;
  const paths: Record<string, (call: Call) => number> = {
    "/kept": ({ key, attempt }) => {
      if (!kept.has(key)) kept.set(key, attempt);
      return attempt;
    },
    "/calls": (call) => {
      const { mode, key, attempt, idempotencyKey } = call;
      const known = idempotencyKey && jobs.get(idempotencyKey);
      const job = known || ++count;
      if (idempotencyKey) jobs.set(idempotencyKey, job);
      if (mode === "steps" && kept.get(key)! < attempt) late.push(call);
      calls.push({ ...call, job });
      return job;
    },
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      try {
        const call: Call = await request.json();
        return Response.json(paths[new URL(request.url).pathname]!(call));
      } catch {
        // Whoever sent it died meanwhile.
        return new Response(null, { status: 400 });
      }
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    get calls() {
      return calls;
    },
    get late() {
      return late;
    },
    forget() {
      calls = [];
      late = [];
      jobs.clear();
      kept.clear();
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
