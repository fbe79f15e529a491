import { withSupabase } from "@supabase/server";
import type { NextRequest } from "next/server";
import { memoryLedger, withIdempotency } from "supabase-idempotency";

const store = memoryLedger();
let orders = 0;

const order = withSupabase(
  { auth: "secret" },
  withIdempotency({ scope: "orders", store }, async (request) => {
    const { item } = await request.json();
    return Response.json({ order: ++orders, item }, { status: 201 });
  }),
);

export const POST = (request: NextRequest) => order(request);
