import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { readJson } from "../_kit/read_json.ts";
import { refuse } from "../_kit/refuse.ts";
import { requireMethod } from "../_kit/require_method.ts";
import { storableText } from "../_kit/storable_text.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import { jobStore } from "./job_store.ts";
import { startTraining } from "./start_training.ts";
import { problems } from "./problems.ts";
import { providerFromEnvironment } from "./provider_from_environment.ts";

const StartRequest = z.object({
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
          request,
        );
        return Response.json(started, { status: 202 });
      } catch (error) {
        return idempotency.notFinal(refuse(error, problems, req));
      }
    },
  ),
};
