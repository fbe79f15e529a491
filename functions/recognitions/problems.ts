import type { ProblemTable } from "../_kit/refuse.ts";
import type { RecognitionErrorCode } from "./recognition_error.ts";

/** How what keeps a recognition from being sent is told over HTTP. */
export const problems: ProblemTable<RecognitionErrorCode> = {
  RECIPIENT_NOT_FOUND: { status: 404, title: "Recipient not found" },
  RECOGNITION_OF_ONESELF: { status: 422, title: "Recognition of oneself" },
};
