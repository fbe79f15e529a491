import { createHash } from "node:crypto";
import { z } from "zod";
import { type LedgerClient, runMany } from "../../shared/idempotency.ts";
import { documentExamples, type MakeExamples } from "./examples.ts";

/** Whose data set is made, and under which key. */
interface DatasetRequest {
  /** The secret key's client: nobody else writes the ledger. */
  supabase: LedgerClient;
  userId: string | null;
  /** `null`: nothing is remembered. */
  key: string | null;
}

const Made = z.object({
  content: z.string(),
  examples: z.int(),
  promptTokens: z.int(),
  answerTokens: z.int(),
});

// Whoever retries does so within minutes; and each document takes one of the
// keys that a user may hold.
const KEPT_SECONDS = 3_600;

/**
 * Makes the examples of each document once for a data set's key: an attempt
 * that was cut off, for instance at the processor time that a function has, is
 * taken up where it ended. Two trips to the ledger, however many documents.
 */
export function makeExamplesOnce(
  { supabase, userId, key }: DatasetRequest,
): MakeExamples {
  return async (documents, format) => {
    if (key === null) {
      return documents.map((document) => documentExamples(document, format));
    }
    const outcomes = await runMany({
      supabase,
      userId,
      route: "generate-training-data/document",
      ttlSeconds: KEPT_SECONDS,
      items: documents.map((document) => ({
        // Of the text as well: a document that was processed anew since is
        // another one.
        key: createHash("sha256")
          .update(JSON.stringify([key, format, document])).digest("hex"),
        input: document,
      })),
      // It is work for one processor; the ledger is told of it in between.
      concurrency: 1,
    }, async ({ input }) => {
      await new Promise((resolve) => setTimeout(resolve));
      return { status: 200, body: documentExamples(input, format) };
    });
    // What is at stake is work, not an effect: whatever the ledger refuses is
    // made again.
    return outcomes.map(({ body }, index) => {
      const made = Made.safeParse(body);
      return made.success
        ? made.data
        : documentExamples(documents[index]!, format);
    });
  };
}
