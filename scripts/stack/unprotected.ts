/**
 * `process-document` for stored documents as it would be without idempotency:
 * the left side of the page at `/`. It is no example to follow, so it is served
 * by the local stack alone, and neither deployed nor copied.
 *
 * @module
 */
import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import { readJson } from "../../functions/_kit/read_request.ts";
import { refuse } from "../../functions/_kit/refuse.ts";
import { DocumentError } from "../../functions/process-document/document.ts";
import { documentStore } from "../../functions/process-document/document_store.ts";
import { processStoredDocument } from "../../functions/process-document/process_document.ts";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, problemResponse } from "../../shared/idempotency.ts";

const JsonRequest = z.object({ documentId: z.guid() });

export default {
  fetch: pipeline(
    [
      withSupabase<Database>({ auth: "user", cors: { headers: corsHeaders } }),
    ],
    async (req, { supabase }) => {
      try {
        const request = await readJson(req, JsonRequest);
        const store = documentStore(supabase);
        const requestId = crypto.randomUUID();
        return Response.json(
          await processStoredDocument(store, request.documentId, requestId),
        );
      } catch (error) {
        if (!(error instanceof DocumentError)) return refuse(error, {}, req);
        const { code, message: detail } = error;
        const title = "Document refused";
        return problemResponse({ status: 422, code, title, detail });
      }
    },
  ),
};
