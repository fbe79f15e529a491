import {
  getMultipartBoundary,
  type MultipartPart,
  parseMultipart,
} from "@remix-run/multipart-parser";
import { pipeline } from "@supabase/middleware";
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, withIdempotency } from "../../shared/idempotency.ts";
import {
  mediaType,
  readBytes,
  readJson,
  requireMethod,
} from "../_kit/read_request.ts";
import { type ProblemTable, Refusal, refuse } from "../_kit/refuse.ts";
import { type DocumentErrorCode, MAX_DOCUMENT_BYTES } from "./document.ts";
import { documentStore } from "./document_store.ts";
import { processStoredDocument, processUpload } from "./process_document.ts";

// What a multipart form needs around the file: boundaries and part headers.
const MAX_FORM_BYTES = MAX_DOCUMENT_BYTES + 64 * 1024;

/** The body of POST where it is no form. */
export const JsonRequest = z.object({ documentId: z.guid() });

/** How what is wrong with a document is told over HTTP. */
const problems: ProblemTable<DocumentErrorCode> = {
  BROKEN_DOCUMENT: { status: 422, title: "Document cannot be read" },
  DOCUMENT_NOT_FOUND: { status: 404, title: "Document not found" },
  DOCUMENT_TOO_LARGE: { status: 413, title: "Document too large" },
  EMPTY_DOCUMENT: { status: 422, title: "Document is empty" },
  ENCRYPTED_DOCUMENT: { status: 422, title: "Document is encrypted" },
  NO_TEXT_FOUND: { status: 422, title: "Document has no text" },
  UNREADABLE_TEXT: { status: 422, title: "Text would be lost" },
  UNSUPPORTED_DOCUMENT_TYPE: {
    status: 415,
    title: "Unsupported document type",
  },
};

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

/**
 * What is to be processed: a document that is stored, or a file in a form.
 *
 * @throws {Refusal} When the request is neither.
 */
async function readRequest(
  req: Request,
): Promise<{ documentId: string } | { file: File }> {
  if (mediaType(req) !== "multipart/form-data") {
    return await readJson(req, JsonRequest);
  }
  const files = await readFiles(req);
  if (files.length === 1) return { file: files[0]! };
  throw invalidForm(
    `The form has ${files.length} files named "file": send exactly one`,
  );
}

// The platform's own reader takes a part whose name is only there as
// `filename*=` for a field.
async function readFiles(req: Request): Promise<File[]> {
  const bytes = await readBytes(req, MAX_FORM_BYTES);
  try {
    const boundary = getMultipartBoundary(req.headers.get("content-type")!)!;
    const limits = { maxFileSize: MAX_FORM_BYTES };
    // The head of a part is read when it is asked for, and may be none.
    return [...parseMultipart(bytes, { boundary, ...limits })]
      .filter(({ name, isFile }) => isFile && name === "file")
      .map(toFile);
  } catch (cause) {
    throw invalidForm(
      "The request body is not a multipart form: let the client library set its content type",
      cause,
    );
  }
}

function toFile({ content, filename = "", headers }: MultipartPart): File {
  const type = headers["content-type"] ?? "";
  return new File(content as Uint8Array<ArrayBuffer>[], filename, { type });
}

function invalidForm(detail: string, cause?: unknown): Refusal {
  return new Refusal({
    status: 400,
    code: "FORM_INVALID",
    title: "Invalid form",
    detail,
  }, { cause });
}
