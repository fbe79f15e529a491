import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { readJson } from "../_kit/read_json.ts";
import { refuse } from "../_kit/refuse.ts";
import { requireMethod } from "../_kit/require_method.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import { datasetStore } from "./dataset_store.ts";
import { generateTrainingData } from "./generate_training_data.ts";
import { MAX_DOCUMENTS } from "./limits.ts";
import { makeExamplesOnce } from "./make_examples_once.ts";
import { problems } from "./problems.ts";

const GenerateRequest = z.object({
  documentIds: z.array(z.guid()).min(1).max(MAX_DOCUMENTS),
  format: z.enum(["qa", "completion"]).default("qa"),
});

export default {
  fetch: pipeline(
    [
      withSupabase<Database>({ auth: "user", cors: { headers: corsHeaders } }),
      withIdempotency({ scope: "generate-training-data" }),
    ],
    async (req, { supabase, userClaims, idempotency }) => {
      try {
        requireMethod(req, "POST");
        const request = await readJson(req, GenerateRequest);
        const store = datasetStore(supabase);
        const makeExamples = makeExamplesOnce({
          supabase,
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
