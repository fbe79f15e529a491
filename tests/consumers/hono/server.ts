import { serve } from "@hono/node-server";
import { withSupabase } from "@supabase/server";
import { Hono } from "hono";
import postgres from "postgres";
import { withIdempotency } from "supabase-idempotency";
import { postgresLedger } from "supabase-idempotency/postgres";

const sql = postgres(process.env["DATABASE_URL"]!, { max: 2 });
let orders = 0;

const order = withSupabase(
  { auth: "secret" },
  withIdempotency(
    { scope: "orders", store: postgresLedger(sql) },
    async (request) => {
      const { item } = await request.json() as { item: string };
      return Response.json({ order: ++orders, item }, { status: 201 });
    },
  ),
);

const app = new Hono();
app.post("/api/orders", (c) => order(c.req.raw));

serve({
  fetch: app.fetch,
  hostname: "127.0.0.1",
  port: Number(process.env["PORT"]),
});
