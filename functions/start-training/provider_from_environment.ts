import { Refusal } from "../_kit/refusal.ts";
import { openAiCompatibleProvider, type TrainingProvider } from "./provider.ts";

/**
 * The provider that `TRAINING_API_URL` and `TRAINING_API_KEY` name.
 *
 * @throws {Refusal} 503 when one of them is not set.
 */
export function providerFromEnvironment(
  environment: Pick<typeof Deno.env, "get"> = Deno.env,
): TrainingProvider {
  const baseUrl = environment.get("TRAINING_API_URL");
  const apiKey = environment.get("TRAINING_API_KEY");
  if (baseUrl && apiKey) return openAiCompatibleProvider({ baseUrl, apiKey });
  throw new Refusal({
    status: 503,
    code: "PROVIDER_NOT_CONFIGURED",
    title: "Training provider not configured",
    detail:
      "This project has no training provider: set the secrets TRAINING_API_URL and TRAINING_API_KEY",
  });
}
