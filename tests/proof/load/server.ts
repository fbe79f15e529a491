/**
 * An instance under load: routes over HTTP that take effect in a database, each
 * with a policy of its own. `server.ts URL` prints the port that it listens on.
 *
 * @module
 */
import postgres from "postgres";
import {
  type IdempotencyContext,
  postgresLedger,
  withIdempotency,
} from "../../../shared/idempotency.ts";
import { CONNECTIONS, LONG_WORK_SECONDS, type Route, ROUTES } from "./terms.ts";

const [url] = Deno.args as [string];
const sql = postgres(url, { max: CONNECTIONS, onnotice: () => {} });
const store = postgresLedger(sql);

type Handler = (
  request: Request,
  context: { idempotency: IdempotencyContext },
) => Promise<Response>;

const work: Record<Route, (run: IdempotencyContext) => Promise<unknown>> = {
  quick: () => Promise.resolve(),
  failing: () => Promise.resolve(),
  async steps({ step }) {
    for (const name of ["reserve", "charge"]) {
      await step(name, () => ({ id: crypto.randomUUID() }));
    }
  },
  crowded: () => sleep(200 + Math.random() * 600),
  long: () => sleep(LONG_WORK_SECONDS * 1000),
};

function handlerOf(route: Route): (request: Request) => Promise<Response> {
  const handler: Handler = async (request, { idempotency }) => {
    const { padding } = await request.json();
    if (route === "failing" && idempotency.attempt === 1) {
      return Response.json({ error: "out of order" }, { status: 500 });
    }
    await work[route](idempotency);
    const effect = crypto.randomUUID();
    await sql`insert into public.load_effects values (${idempotency.key}, ${effect})`;
    return Response.json({ effect, padding }, { status: 201 });
  };
  return withIdempotency({
    store,
    user: (request) => request.headers.get("x-user"),
    thirdPartyAuth: true,
    scope: `load-${route}`,
    ...ROUTES[route],
  }, handler);
}

const handlers = new Map(
  Object.keys(ROUTES).map((route) => [
    `/${route}`,
    handlerOf(route as Route),
  ]),
);

const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {} },
  async (request) => {
    const { pathname } = new URL(request.url);
    const handler = handlers.get(pathname);
    if (handler !== undefined) return await handler(request);
    // What the same way costs without the ledger.
    if (pathname === "/bare") {
      await sql`select 1`;
      return new Response("ok");
    }
    // --expose-gc: what is left is what is held.
    (globalThis as { gc?: () => void }).gc?.();
    const { rss, heapUsed } = Deno.memoryUsage();
    return Response.json({ rss, heapUsed });
  },
);
console.log(server.addr.port);

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
