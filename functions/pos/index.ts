import { AuthError } from "@supabase/server";
import { withSupabase } from "@supabase/server/adapters/hono";
import { Hono } from "hono";
import { createMiddleware } from "hono/factory";
import { HTTPException } from "hono/http-exception";
import type { Database } from "../../shared/database.types.ts";
import {
  corsHeaders,
  fingerprintRequest,
  KeyMissingError,
  readIdempotencyKey,
} from "../../shared/idempotency.ts";
import { requireMethod } from "../_kit/read_request.ts";
import { Refusal, refuse } from "../_kit/refuse.ts";
import { perform } from "./perform.ts";
import { readSale, readStock } from "./read.ts";
import { readBody, readId, readPage, writes } from "./requests.ts";

// What tills of before this one look at to tell a replay. They go on working.
const REPLAY_OF_OLD = "X-Idempotent-Replay";

const headers = {
  ...corsHeaders,
  "Access-Control-Expose-Headers": `${
    corsHeaders["Access-Control-Expose-Headers"]
  }, ${REPLAY_OF_OLD}`,
};

/**
 * CORS as the other functions have it; Supabase's adapter for Hono leaves it to
 * the app. It comes before the authentication, which a preflight cannot have.
 */
const cors = createMiddleware(async (c, next) => {
  if (c.req.method === "OPTIONS") {
    return new Response(null, { status: 204, headers });
  }
  await next();
  for (const [name, value] of Object.entries(headers)) {
    c.res.headers.set(name, value);
  }
  if (c.res.headers.has("X-Idempotency-Replay")) {
    c.res.headers.set(REPLAY_OF_OLD, "true");
  }
  return undefined;
});

// No middleware for idempotency: in each write claim, effect and answer are one
// transaction in Postgres, so there is nothing left to do before or after it.
const app = new Hono()
  .use(cors)
  .use(withSupabase<Database>({ auth: "user" }));

for (const write of writes) {
  const { operation } = write;
  app.all(`/${operation}`, async (c) => {
    const req = c.req.raw;
    requireMethod(req, "POST");
    const { userClaims, ...clients } = c.var.supabaseContext;
    const key = readIdempotencyKey(req);
    // Goods and money hang on it: a till that forgets it would sell twice.
    if (key === null) throw new KeyMissingError();
    const fingerprint = await fingerprintRequest(req.clone());
    const id = c.req.param("id");
    return await perform(clients, userClaims!.id, {
      operation,
      ...(id === undefined ? {} : { subjectId: readId(id) }),
      request: await readBody(req, write),
      key,
      fingerprint,
    });
  });
}

app.all("/pos/sales/:id", async (c) => {
  requireMethod(c.req.raw, "GET");
  const id = readId(c.req.param("id"));
  const sale = await readSale(c.var.supabaseContext.supabase, id);
  if (sale === null) throw notFound("sale", id);
  return c.json(sale);
});

app.all("/pos/locations/:id/stock", async (c) => {
  requireMethod(c.req.raw, "GET");
  const id = readId(c.req.param("id"));
  const page = readPage(c.req.raw);
  const stock = await readStock(c.var.supabaseContext.supabase, id, page);
  if (stock === null) throw notFound("location", id);
  return c.json(stock);
});

app.notFound((c) => refuseError(notFound("route", c.req.path), c.req.raw));
app.onError((error, c) => refuseError(error, c.req.raw));

/** What is served, for who compares it with what is documented. */
export const routes = app;

export default { fetch: (req: Request) => app.fetch(req) };

/** The refusal of a request for what is not there, or is somebody else's. */
function notFound(
  what: "location" | "route" | "sale",
  name: string,
): Refusal {
  return new Refusal({
    status: 404,
    code: `${what.toUpperCase()}_NOT_FOUND`,
    title: `${what[0]!.toUpperCase()}${what.slice(1)} not found`,
    detail: what === "route"
      ? `The point of sale has no route ${name}: check the path`
      : `There is no ${what} ${name} in a business of yours: check the id`,
  });
}

/**
 * The answer to an error of any route. What fails the authentication is told as
 * the other functions tell it; Supabase's adapter for Hono throws it.
 */
function refuseError(error: Error, req: Request): Response {
  if (error instanceof HTTPException && error.cause instanceof AuthError) {
    const { status, code } = error.cause;
    return Response.json(error.cause, {
      status,
      headers: { "x-supabase-server-error": code },
    });
  }
  return refuse(error, {}, req);
}
