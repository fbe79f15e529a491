import type { ProblemTable } from "../_kit/refuse.ts";
import type { TrainingErrorCode } from "../_kit/training_error.ts";

/** How what is wrong with training material is told over HTTP. */
export const problems: ProblemTable<TrainingErrorCode> = {
  DATASET_NOT_FOUND: { status: 404, title: "Data set not found" },
  DATASET_TOO_LARGE: { status: 413, title: "Data set too large" },
  DOCUMENT_NOT_FOUND: { status: 404, title: "Document not found" },
  DOCUMENT_NOT_PROCESSED: { status: 409, title: "Document not processed" },
  NO_EXAMPLES: { status: 422, title: "No examples found" },
};
