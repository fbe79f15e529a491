import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import { readJson, requireMethod, storableText } from "../_kit/read_request.ts";
import { type ProblemTable, Refusal, refuse } from "../_kit/refuse.ts";
import { jobStore } from "./job_store.ts";
import {
  openAiCompatibleProvider,
  type ProviderErrorCode,
  type TrainingProvider,
} from "./provider.ts";
import { type DatasetNotFoundError, startTraining } from "./start_training.ts";

/** How what keeps a training job from starting is told over HTTP. */
const problems: ProblemTable<
  DatasetNotFoundError["code"] | ProviderErrorCode
> = {
  DATASET_NOT_FOUND: { status: 404, title: "Data set not found" },
  FILE_NOT_READY: {
    status: 503,
    title: "Training file not ready",
    retryable: true,
    // It has been waited for half a minute.
    headers: { "Retry-After": "30" },
  },
  PROVIDER_REFUSED: { status: 502, title: "Training provider refused" },
  PROVIDER_UNAVAILABLE: {
    status: 503,
    title: "Training provider unavailable",
    retryable: true,
    // Rate limits of providers are by the minute; a fraction of one suffices
    // for most.
    headers: { "Retry-After": "10" },
  },
};

/** The body of POST. */
export const StartRequest = z.object({
  datasetId: z.guid(),
  model: storableText(200),
});

export default {
  fetch: pipeline(
    [
      withSupabase<Database>({ auth: "user", cors: { headers: corsHeaders } }),
      withIdempotency({ scope: "start-training" }),
    ],
    async (req, { supabase, idempotency }) => {
      try {
        requireMethod(req, "POST");
        const request = await readJson(req, StartRequest);
        const provider = providerFromEnvironment();
        const started = await startTraining(
          jobStore(supabase),
          provider,
          idempotency.step,
          { ...request, isRetry: idempotency.attempt > 1 },
        );
        return Response.json(started, { status: 202 });
      } catch (error) {
        return idempotency.notFinal(refuse(error, problems, req));
      }
    },
  ),
};

/**
 * The provider that `TRAINING_API_URL` and `TRAINING_API_KEY` name.
 *
 * @throws {Refusal} 503 when one of them is not set.
 */
function providerFromEnvironment(): TrainingProvider {
  const baseUrl = Deno.env.get("TRAINING_API_URL");
  const apiKey = Deno.env.get("TRAINING_API_KEY");
  if (baseUrl && apiKey) return openAiCompatibleProvider({ baseUrl, apiKey });
  throw new Refusal({
    status: 503,
    code: "PROVIDER_NOT_CONFIGURED",
    title: "Training provider not configured",
    detail:
      "This project has no training provider: set the secrets TRAINING_API_URL and TRAINING_API_KEY",
  });
}
