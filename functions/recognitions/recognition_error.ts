/** Why a recognition cannot be recorded. */
export type RecognitionErrorCode =
  | "RECIPIENT_NOT_FOUND"
  | "RECOGNITION_OF_ONESELF";

/** A recognition that the sender has to ask for differently. */
export class RecognitionError extends Error {
  override readonly name = "RecognitionError";

  constructor(readonly code: RecognitionErrorCode, message: string) {
    super(message);
  }
}
