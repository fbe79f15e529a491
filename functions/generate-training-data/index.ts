import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import { readJson, requireMethod } from "../_kit/read_request.ts";
import { type ProblemTable, refuse } from "../_kit/refuse.ts";
import { datasetStore } from "./dataset_store.ts";
import {
  generateTrainingData,
  MAX_DOCUMENTS,
  type TrainingErrorCode,
} from "./generate_training_data.ts";
import { makeExamplesOnce } from "./make_examples_once.ts";

/** How what is wrong with training material is told over HTTP. */
const problems: ProblemTable<TrainingErrorCode> = {
  DATASET_TOO_LARGE: { status: 413, title: "Data set too large" },
  DOCUMENT_NOT_FOUND: { status: 404, title: "Document not found" },
  DOCUMENT_NOT_PROCESSED: { status: 409, title: "Document not processed" },
  NO_EXAMPLES: { status: 422, title: "No examples found" },
};

/** The body of POST. */
export const GenerateRequest = z.object({
  documentIds: z.array(z.guid()).min(1).max(MAX_DOCUMENTS),
  format: z.enum(["qa", "completion"]).default("qa"),
});

export default {
  fetch: pipeline(
    [
      withSupabase<Database>({ auth: "user", cors: { headers: corsHeaders } }),
      withIdempotency({ scope: "generate-training-data" }),
    ],
    async (req, { supabase, supabaseAdmin, userClaims, idempotency }) => {
      try {
        requireMethod(req, "POST");
        const request = await readJson(req, GenerateRequest);
        const store = datasetStore(supabase);
        const makeExamples = makeExamplesOnce({
          supabase: supabaseAdmin,
          userId: userClaims?.id ?? null,
          key: idempotency.key,
        });
        return Response.json(
          await generateTrainingData(store, makeExamples, {
            ...request,
            requestId: await idempotency.effectKey("generate-training-data"),
          }),
        );
      } catch (error) {
        return idempotency.notFinal(refuse(error, problems, req));
      }
    },
  ),
};
