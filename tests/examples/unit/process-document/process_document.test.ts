import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  DocumentError,
  MAX_DOCUMENT_BYTES,
} from "../../../../functions/process-document/document.ts";
import type {
  DocumentStore,
  StoredDocument,
} from "../../../../functions/process-document/document_store.ts";
import {
  processStoredDocument,
  processUpload,
} from "../../../../functions/process-document/process_document.ts";

/** Holds one document, and what was written about it. */
function storeOf(document: StoredDocument | null) {
  const written: unknown[] = [];
  const store: DocumentStore = {
    read: () => Promise.resolve(document),
    saveChunks: (_, chunks) => {
      written.push(chunks);
      return Promise.resolve({ jobId: "job" });
    },
    saveUpload: (document, chunks) => {
      written.push({ document, chunks });
      return Promise.resolve({ documentId: "new", jobId: "job" });
    },
  };
  return { store, written };
}

Deno.test("processStoredDocument() stores chunks with the SHA-256 of their text", async () => {
  const { store, written } = storeOf({
    title: "T",
    mimeType: "text/plain",
    content: "abc",
  });
  assertEquals(await processStoredDocument(store, "d", "request"), {
    jobId: "job",
    documentId: "d",
    status: "completed",
    title: "T",
    mimeType: "text/plain",
    chunkCount: 1,
    characters: 3,
  });
  assertEquals(written, [[{
    position: 0,
    start: 0,
    end: 3,
    content: "abc",
    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  }]]);
});

Deno.test("processStoredDocument() reads a PDF that is stored in base64", async () => {
  const url = new URL("../../../fixtures/claims.pdf", import.meta.url);
  const bytes = await Deno.readFile(url);
  const content = bytes.toBase64().replace(/.{76}/g, "$&\n");
  const { store } = storeOf({
    title: "T",
    mimeType: "application/pdf",
    content,
  });
  assertEquals((await processStoredDocument(store, "d", "request")).pages, 3);
});

Deno.test("processStoredDocument() says what is wrong and writes nothing", async () => {
  const pdf = "application/pdf";
  for (
    const [document, code] of [
      [null, "DOCUMENT_NOT_FOUND"],
      [{ title: "T", mimeType: pdf, content: "é" }, "BROKEN_DOCUMENT"],
      [{ title: "T", mimeType: "text/plain", content: "" }, "EMPTY_DOCUMENT"],
      [
        { title: "T", mimeType: "image/png", content: "x" },
        "UNSUPPORTED_DOCUMENT_TYPE",
      ],
    ] as const
  ) {
    const { store, written } = storeOf(document);
    const error = await assertRejects(
      () => processStoredDocument(store, "d", "request"),
      DocumentError,
    );
    assertEquals([error.code, written], [code, []]);
  }
});

Deno.test("processUpload() refuses a file over 10 MiB before reading it", async () => {
  const { store, written } = storeOf(null);
  const file = new File([new Uint8Array(MAX_DOCUMENT_BYTES + 1)], "a.txt");
  const error = await assertRejects(
    () => processUpload(store, file, "request"),
    DocumentError,
  );
  assertEquals([error.code, written], ["DOCUMENT_TOO_LARGE", []]);
});

Deno.test("processUpload() makes a title that fits from any file name", async () => {
  for (
    const [name, title] of [
      ["a\u0007b.txt", "ab.txt"],
      ["😀".repeat(300) + ".txt", "😀".repeat(200)],
      ["", "Untitled"],
    ] as const
  ) {
    const { store } = storeOf(null);
    const file = new File(["text"], name, { type: "text/plain" });
    const processed = await processUpload(store, file, "request");
    assert(processed.title.isWellFormed());
    assertEquals(processed.title, title);
  }
});

Deno.test("processUpload() refuses text that is over 10 MiB once it is stored in UTF-8", async () => {
  const { store, written } = storeOf(null);
  const bytes = new Uint8Array(MAX_DOCUMENT_BYTES).fill(0xe4);
  const type = "text/plain; charset=iso-8859-1";
  const file = new File([bytes], "a.txt", { type });
  const error = await assertRejects(
    () => processUpload(store, file, "request"),
    DocumentError,
  );
  assertEquals([error.code, written], ["DOCUMENT_TOO_LARGE", []]);
});
