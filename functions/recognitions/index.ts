import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import {
  logEvent,
  stampTrace,
  tracedFetch,
  traceMetadata,
  withTracedUser,
  withTracing,
} from "../../shared/tracing.ts";
import {
  readJson,
  readQuery,
  requireMethod,
  storableText,
} from "../_kit/read_request.ts";
import { type ProblemTable, refuse } from "../_kit/refuse.ts";
import {
  CATEGORIES,
  MAX_MESSAGE_CHARACTERS,
  MAX_POINTS,
  type RecognitionErrorCode,
  recognitionStore,
} from "./recognition_store.ts";

const RecognitionRequest = z.object({
  recipientAddress: z.guid(),
  message: storableText(MAX_MESSAGE_CHARACTERS),
  category: z.enum(CATEGORIES),
  points: z.int().min(1).max(MAX_POINTS),
});

const ListRequest = z.object({
  direction: z.enum(["sent", "received"]).default("received"),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  before: z.iso.datetime({ offset: true }).optional(),
});

/** How what keeps a recognition from being sent is told over HTTP. */
const problems: ProblemTable<RecognitionErrorCode> = {
  RECIPIENT_NOT_FOUND: { status: 404, title: "Recipient not found" },
  RECOGNITION_OF_ONESELF: { status: 422, title: "Recognition of oneself" },
};

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
          const selection = readQuery(req, ListRequest);
          const recognitions = await store.list(userClaims!.id, selection);
          return Response.json({ recognitions }, {
            headers: { "Cache-Control": "no-store" },
          });
        }
        const request = await readJson(req, RecognitionRequest);
        const requestId = await idempotency.effectKey("send-recognition");
        const sent = await store.send({ ...request, requestId });
        return stampTrace(Response.json(sent, { status: 201 }));
      } catch (error) {
        return idempotency.notFinal(refuse(error, problems, req));
      }
    },
  ),
};
