/** Why there is no data set, or no training job. */
export type TrainingErrorCode =
  | "DATASET_NOT_FOUND"
  | "DATASET_TOO_LARGE"
  | "DOCUMENT_NOT_FOUND"
  | "DOCUMENT_NOT_PROCESSED"
  | "NO_EXAMPLES";

/** Training material that is missing or of no use; nothing was stored. */
export class TrainingError extends Error {
  override readonly name = "TrainingError";

  /** @param message What was wrong and what to do, fit for the user's eyes. */
  constructor(readonly code: TrainingErrorCode, message: string) {
    super(message);
  }
}
