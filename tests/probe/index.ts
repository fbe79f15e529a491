import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { createAdminClient } from "@supabase/server/core";
import { z } from "zod";
import {
  corsHeaders,
  type IdempotencyConfig,
  problemResponse,
  withIdempotency,
} from "../../shared/idempotency.ts";
import type { Database } from "../../shared/database.types.ts";

// The stack makes this table when the probe is on; no migration knows it.
interface ProbeDatabase extends Omit<Database, "public"> {
  public: Omit<Database["public"], "Tables"> & {
    Tables: Database["public"]["Tables"] & {
      probe_effects: {
        Row: { id: number; effect: string };
        Insert: { effect: string; user_id: string | null; attempt: number };
        Update: Record<string, never>;
        Relationships: [];
      };
    };
  };
}

const Behaviour = z.strictObject({
  effect: z.string().default("probe"),
  steps: z.array(z.string()).default([]),
  /** Functions of the database that are called in place of the effect. */
  calls: z.array(z.strictObject({
    fn: z.string(),
    args: z.record(z.string(), z.unknown()).default({}),
  })).optional(),
  delayMs: z.number().int().min(0).max(600_000).default(0),
  status: z.number().int().min(200).max(599).default(200),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.string().optional(),
  bodyBase64: z.base64().optional(),
  throw: z.boolean().default(false),
  hang: z.boolean().default(false),
  exit: z.enum(["before-effect", "after-effect"]).optional(),
});

type Behaviour = z.infer<typeof Behaviour>;

const BODYLESS_STATUSES = new Set([204, 205, 304]);

export default {
  fetch: async (request: Request): Promise<Response> => {
    if (request.method === "GET") return await countEffects(request);
    let config: IdempotencyConfig;
    try {
      config = JSON.parse(request.headers.get("x-probe-config") ?? "{}");
    } catch {
      return badRequest("The header X-Probe-Config is not JSON.");
    }
    return await perform({ scope: "probe", ...config })(request);
  },
};

function perform(config: IdempotencyConfig) {
  return pipeline(
    [
      withSupabase<ProbeDatabase>({
        auth: ["user", "secret"],
        cors: {
          headers: {
            ...corsHeaders,
            "Access-Control-Allow-Headers": `${
              corsHeaders["Access-Control-Allow-Headers"]
            }, x-probe-config`,
          },
        },
      }),
      withIdempotency(config),
    ],
    async (request, ctx) => {
      const read = Behaviour.safeParse(await request.json().catch(() => null));
      if (!read.success) {
        return ctx.idempotency.notFinal(
          badRequest(z.prettifyError(read.error)),
        );
      }
      const wanted = read.data;
      const { attempt, step } = ctx.idempotency;
      const exits = attempt <= 1 ? wanted.exit : undefined;
      if (exits === "before-effect") Deno.exit(1);
      const takeEffect = async (effect: string) => {
        const { error } = await ctx.supabaseAdmin.from("probe_effects").insert({
          effect,
          user_id: ctx.userClaims?.id ?? null,
          attempt,
        });
        if (error) {
          throw new Error(`Cannot record an effect: ${error.message}`);
        }
      };
      for (const name of wanted.steps) {
        await step(name, () => takeEffect(`${wanted.effect}:${name}`));
      }
      for (const { fn, args } of wanted.calls ?? []) {
        await ctx.supabaseAdmin.rpc(fn as never, args as never).throwOnError();
      }
      if (wanted.calls === undefined) await takeEffect(wanted.effect);
      await new Promise((resolve) => setTimeout(resolve, wanted.delayMs));
      if (wanted.hang) await new Promise(() => {});
      if (exits === "after-effect") Deno.exit(1);
      if (wanted.throw) throw new Error("The probe was asked to throw.");
      return answer(wanted);
    },
  );
}

function answer(wanted: Behaviour): Response {
  const { status, headers, body, bodyBase64 } = wanted;
  if (BODYLESS_STATUSES.has(status)) {
    return new Response(null, { status, headers });
  }
  const content = bodyBase64 === undefined
    ? body ?? ""
    : Uint8Array.from(atob(bodyBase64), (char) => char.charCodeAt(0));
  return new Response(content, { status, headers });
}

async function countEffects(request: Request): Promise<Response> {
  const effect = new URL(request.url).searchParams.get("effect");
  if (effect === null) return badRequest("Name an effect: ?effect=label.");
  const { count, error } = await createAdminClient<ProbeDatabase>()
    .from("probe_effects")
    .select("id", { count: "exact", head: true })
    .eq("effect", effect);
  if (error) throw new Error(`Cannot count effects: ${error.message}`);
  return Response.json({ count });
}

function badRequest(detail: string): Response {
  return problemResponse({
    status: 400,
    code: "PROBE_REQUEST_INVALID",
    title: "Invalid probe request",
    detail,
  });
}
