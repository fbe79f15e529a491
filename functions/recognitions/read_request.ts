import { z } from "zod";
import { readJson } from "../_kit/read_json.ts";
import { Refusal } from "../_kit/refusal.ts";
import { storableText } from "../_kit/storable_text.ts";
import {
  CATEGORIES,
  MAX_MESSAGE_CHARACTERS,
  MAX_POINTS,
} from "./recognition.ts";
import type { Selection } from "./recognition_store.ts";

const RecognitionRequest = z.object({
  recipientAddress: z.guid(),
  message: storableText(MAX_MESSAGE_CHARACTERS),
  category: z.enum(CATEGORIES),
  points: z.int().min(1).max(MAX_POINTS),
});

const ListRequest = z.object({
  direction: z.enum(["sent", "received"]).default("received"),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  before: z.iso.datetime({ offset: true }).optional(),
});

/**
 * The recognition that a request asks to send.
 *
 * @throws {Refusal} When it asks for none.
 */
export function readRecognition(
  req: Request,
): Promise<z.output<typeof RecognitionRequest>> {
  return readJson(req, RecognitionRequest);
}

/**
 * Which recognitions a request asks for.
 *
 * @throws {Refusal} 400 when its query is not as expected.
 */
export function readSelection(req: Request): Selection {
  const query = Object.fromEntries(new URL(req.url).searchParams);
  const parsed = ListRequest.safeParse(query);
  if (parsed.success) return parsed.data;
  throw new Refusal({
    status: 400,
    code: "REQUEST_INVALID",
    title: "Invalid request",
    detail: `The query is not as expected: ${
      parsed.error.issues
        .map(({ path, message }) => `${path.join(".")}: ${message}`)
        .join("; ")
    }`,
  });
}
