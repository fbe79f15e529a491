import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import type { Database } from "../../shared/database.types.ts";
import { refuse } from "../_kit/refuse.ts";
import { requireMethod } from "../_kit/require_method.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import { recognitionStore } from "./recognition_store.ts";
import {
  logEvent,
  stampTrace,
  tracedFetch,
  traceMetadata,
  withTracedUser,
  withTracing,
} from "../../shared/tracing.ts";
import { problems } from "./problems.ts";
import { readRecognition, readSelection } from "./read_request.ts";

export default {
  fetch: pipeline(
    [
      // The first, so that refusals and replays of the others are traced too.
      withTracing(),
      withSupabase<Database>({
        auth: "user",
        cors: { headers: corsHeaders },
        supabaseOptions: { global: { fetch: tracedFetch } },
      }),
      withTracedUser(),
      withIdempotency({
        scope: "recognitions",
        metadata: traceMetadata,
        onEvent: (event) => logEvent("IDEMPOTENCY", { ...event }),
      }),
    ],
    async (req, { supabase, userClaims, idempotency }) => {
      try {
        requireMethod(req, "GET", "POST");
        const store = recognitionStore(supabase);
        if (req.method === "GET") {
          const selection = readSelection(req);
          const recognitions = await store.list(userClaims!.id, selection);
          return Response.json({ recognitions }, {
            headers: { "Cache-Control": "no-store" },
          });
        }
        const request = await readRecognition(req);
        const requestId = await idempotency.effectKey("send-recognition");
        const sent = await store.send({ ...request, requestId });
        return stampTrace(Response.json(sent, { status: 201 }));
      } catch (error) {
        return idempotency.notFinal(refuse(error, problems, req));
      }
    },
  ),
};
