import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import {
  logEvent,
  stampTrace,
  tracedFetch,
  traceMetadata,
  withTracedUser,
  withTracing,
} from "../../shared/tracing.ts";
import {
  readJson,
  readQuery,
  requireMethod,
  storableMoment,
  storableText,
} from "../_kit/read_request.ts";
import { type ProblemTable, refuse } from "../_kit/refuse.ts";
import {
  CATEGORIES,
  MAX_MESSAGE_CHARACTERS,
  MAX_POINTS,
  MAX_TAG_CHARACTERS,
  MAX_TAGS,
  RecognitionError,
  type RecognitionErrorCode,
  recognitionStore,
  type SharedRecognition,
} from "./recognition_store.ts";

const Recipient = {
  recipientAddress: z.guid().optional(),
  recipientId: z.guid().optional(),
};

const exactlyOne = (...names: string[]) => (body: Record<string, unknown>) =>
  names.filter((name) => body[name] !== undefined).length === 1;

const oneRecipient = exactlyOne("recipientAddress", "recipientId");
const RECIPIENT = "name the recipient, either recipientAddress or recipientId";

const text = storableText(MAX_MESSAGE_CHARACTERS);

/**
 * The body of POST. A `reason` and `tags` tell what others put into `message`,
 * `category` and `points`: with it those may be left out.
 */
export const RecognitionRequest = z.object({
  ...Recipient,
  message: text.optional(),
  reason: text.optional(),
  category: z.enum(CATEGORIES).optional(),
  points: z.int().min(1).max(MAX_POINTS).optional(),
  tags: z.array(storableText(MAX_TAG_CHARACTERS)).max(MAX_TAGS).default([]),
})
  .refine(oneRecipient, RECIPIENT)
  .refine(exactlyOne("message", "reason"), "send either a message or a reason")
  .refine(
    ({ reason, category, points }) =>
      reason !== undefined || (category !== undefined && points !== undefined),
    "a message takes a category and points",
  );

/** The body of POST to the shares of a recognition. */
export const ShareRequest = z.object({
  ...Recipient,
  evidenceWeight: z.number().multipleOf(0.01).min(0).max(1).default(1),
}).refine(oneRecipient, RECIPIENT);

/** The query of GET. */
export const ListRequest = z.object({
  direction: z.enum(["sent", "received", "shared"]).default("received"),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  before: storableMoment.optional(),
});

/** How what keeps a recognition from being sent is told over HTTP. */
const problems: ProblemTable<RecognitionErrorCode> = {
  RECIPIENT_NOT_FOUND: { status: 404, title: "Recipient not found" },
  RECOGNITION_NOT_FOUND: { status: 404, title: "Recognition not found" },
  RECOGNITION_OF_ONESELF: { status: 422, title: "Recognition of oneself" },
  RECOGNITION_SHARED_ALREADY: { status: 409, title: "Shared already" },
};

/** The recognition whose shares a path is of; `null` for the recognitions. */
function sharedIn(req: Request): string | null {
  const { pathname } = new URL(req.url);
  return /\/recognitions\/([^/]+)\/shares$/.exec(pathname)?.[1] ?? null;
}

export default {
  fetch: pipeline(
    [
      // The first, so that refusals and replays of the others are traced too.
      withTracing(),
      withSupabase<Database>({
        auth: "user",
        cors: { headers: corsHeaders },
        supabaseOptions: { global: { fetch: tracedFetch } },
      }),
      withTracedUser(),
      withIdempotency({
        scope: (req) =>
          sharedIn(req) === null ? "recognitions" : "recognitions/:id/shares",
        metadata: traceMetadata,
        onEvent: (event) => logEvent("IDEMPOTENCY", { ...event }),
      }),
    ],
    async (req, { supabase, userClaims, idempotency }) => {
      try {
        const store = recognitionStore(supabase);
        const shared = sharedIn(req);
        if (shared !== null) {
          requireMethod(req, "POST");
          const request = await readJson(req, ShareRequest);
          const recognitionId = guid(shared);
          const requestId = await idempotency.effectKey("share-recognition");
          const share = await store.share({
            ...request,
            recognitionId,
            requestId,
          });
          return stampTrace(Response.json(share, { status: 201 }));
        }
        requireMethod(req, "GET", "POST");
        if (req.method !== "POST") {
          const { direction, ...selection } = readQuery(req, ListRequest);
          const { id } = userClaims!;
          const answer = direction === "shared"
            ? evidenceOf(await store.shared(id, selection))
            : { recognitions: await store.list(id, direction, selection) };
          return Response.json(answer, {
            headers: { "Cache-Control": "no-store" },
          });
        }
        const { reason, message, category = null, points = 1, ...request } =
          await readJson(req, RecognitionRequest);
        const requestId = await idempotency.effectKey("send-recognition");
        const sent = await store.send({
          ...request,
          message: (message ?? reason)!,
          category,
          points,
          requestId,
        });
        return stampTrace(Response.json(sent, { status: 201 }));
      } catch (error) {
        return idempotency.notFinal(refuse(error, problems, req));
      }
    },
  ),
};

function guid(id: string): string {
  if (z.guid().safeParse(id).success) return id;
  throw new RecognitionError(
    "RECOGNITION_NOT_FOUND",
    `There is no recognition ${id}: check the id`,
  );
}

/** What was shared, and how many points of it count. */
function evidenceOf(recognitions: readonly SharedRecognition[]) {
  // In hundredths, which add up exactly.
  const hundredths = recognitions.reduce(
    (sum, { points, share }) =>
      sum + points * Math.round(share.evidenceWeight * 100),
    0,
  );
  return { recognitions, evidence: hundredths / 100 };
}
