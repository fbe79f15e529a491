import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import type { Database } from "../../shared/database.types.ts";
import { documentStore } from "./document_store.ts";
import { processStoredDocument, processUpload } from "./process_document.ts";
import { refuse } from "../_kit/refuse.ts";
import { requireMethod } from "../_kit/require_method.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import { problems } from "./problems.ts";
import { readRequest } from "./read_request.ts";

export default {
  fetch: pipeline(
    [
      withSupabase<Database>({ auth: "user", cors: { headers: corsHeaders } }),
      withIdempotency({ scope: "process-document" }),
    ],
    async (req, { supabase, idempotency }) => {
      try {
        requireMethod(req, "POST");
        const request = await readRequest(req);
        const store = documentStore(supabase);
        const requestId = await idempotency.effectKey("process-document");
        const processed = "file" in request
          ? await processUpload(store, request.file, requestId)
          : await processStoredDocument(store, request.documentId, requestId);
        return Response.json(processed);
      } catch (error) {
        return idempotency.notFinal(refuse(error, problems, req));
      }
    },
  ),
};
