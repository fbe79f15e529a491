import { z } from "zod";
import { MAX_DOCUMENT_BYTES } from "./limits.ts";
import { mediaType } from "../_kit/media_type.ts";
import { readBytes } from "../_kit/read_bytes.ts";
import { readJson } from "../_kit/read_json.ts";
import { Refusal } from "../_kit/refusal.ts";

// What a multipart form needs around the file: boundaries and part headers.
const MAX_FORM_BYTES = MAX_DOCUMENT_BYTES + 64 * 1024;

const JsonRequest = z.object({ documentId: z.guid() });

/**
 * What is to be processed: a document that is stored, or a file in a form.
 *
 * @throws {Refusal} When the request is neither.
 */
export async function readRequest(
  req: Request,
): Promise<{ documentId: string } | { file: File }> {
  if (mediaType(req) !== "multipart/form-data") {
    return await readJson(req, JsonRequest);
  }
  const form = await readForm(req);
  const files = form.getAll("file").filter((part) => part instanceof File);
  if (files.length === 1) return { file: files[0]! };
  throw invalidForm(
    `The form has ${files.length} files named "file": send exactly one`,
  );
}

async function readForm(req: Request): Promise<FormData> {
  const bytes = await readBytes(req, MAX_FORM_BYTES);
  const headers = { "Content-Type": req.headers.get("content-type")! };
  try {
    return await new Response(bytes, { headers }).formData();
  } catch (cause) {
    throw invalidForm(
      "The request body is not a multipart form: let the client library set its content type",
      cause,
    );
  }
}

function invalidForm(detail: string, cause?: unknown): Refusal {
  return new Refusal({
    status: 400,
    code: "FORM_INVALID",
    title: "Invalid form",
    detail,
  }, { cause });
}
