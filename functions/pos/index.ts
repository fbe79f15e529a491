import { withSupabase } from "@supabase/server/adapters/hono";
import { Hono } from "hono";
import type { Database } from "../../shared/database.types.ts";
import { readJson } from "../_kit/read_json.ts";
import { requireMethod } from "../_kit/require_method.ts";
import {
  admitWithoutKey,
  fingerprintRequest,
  getIdempotencyKey,
} from "../../shared/idempotency.ts";
import { readSale } from "./read_sale.ts";
import { readStock } from "./read_stock.ts";
import { cors } from "./cors.ts";
import { notFound } from "./not_found.ts";
import { perform } from "./perform.ts";
import { refuseError } from "./refuse_error.ts";
import { readId, readPage, writes } from "./requests.ts";

// No middleware for idempotency: in each write claim, effect and answer are one
// transaction in Postgres, so there is nothing left to do before or after it.
const app = new Hono()
  .use(cors)
  .use(withSupabase<Database>({ auth: "user" }));

for (const { operation, schema } of writes) {
  app.all(`/${operation}`, async (c) => {
    const req = c.req.raw;
    requireMethod(req, "POST");
    const { supabase, userClaims } = c.var.supabaseContext;
    const key = getIdempotencyKey(req);
    const mark = key === null
      ? admitWithoutKey(operation, "optional")
      : (answer: Response) => answer;
    const fingerprint = key && await fingerprintRequest(req.clone());
    const id = c.req.param("id");
    const answer = await perform(supabase, userClaims!.id, {
      operation,
      ...(id === undefined ? {} : { subjectId: readId(id) }),
      ...(schema === null ? {} : { request: await readJson(req, schema) }),
      ...(key && fingerprint ? { key, fingerprint } : {}),
    });
    return mark(answer);
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
  const page = readPage(c.req.query());
  const stock = await readStock(c.var.supabaseContext.supabase, id, page);
  if (stock === null) throw notFound("location", id);
  return c.json(stock);
});

app.notFound((c) => refuseError(notFound("route", c.req.path), c.req.raw));
app.onError((error, c) => refuseError(error, c.req.raw));

export default { fetch: (req: Request) => app.fetch(req) };
