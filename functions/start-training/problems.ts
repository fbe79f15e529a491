import type { ProblemTable } from "../_kit/refuse.ts";
import type { ProviderErrorCode } from "./provider_error.ts";
import type { TrainingErrorCode } from "../_kit/training_error.ts";
import { problems as trainingProblems } from "../generate-training-data/problems.ts";

/** How what keeps a training job from starting is told over HTTP. */
export const problems: ProblemTable<TrainingErrorCode | ProviderErrorCode> = {
  ...trainingProblems,
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
