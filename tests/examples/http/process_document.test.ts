import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { call, fixture, formWith } from "../../support/call.ts";
import { docxOf, paragraph } from "../../support/docx.ts";
import { loseAnswer } from "../../support/ledger_row.ts";
import { pageOf } from "../../support/pdf.ts";
import { unique } from "../../support/probe.ts";
import {
  type Actor,
  anonymous,
  signUp,
  withStack,
} from "../../support/stack.ts";

const FUNCTION = "process-document";
const PDF = "application/pdf";
const DOCX =
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

const CHUNK = {
  position: 0,
  start_offset: 0,
  end_offset: 3,
  content: "abc",
  sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
};

const stack = withStack();
let ada: Actor & { userId: string };
let ben: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
});

async function insertDocument(
  { client }: Actor,
  content: string,
  mime_type = "text/markdown",
): Promise<string> {
  const { data } = await client
    .from("documents")
    .insert({ title: "Guide", mime_type, content })
    .select("id").single().throwOnError();
  return data.id;
}

async function countJobs({ client }: Actor, documentId: string) {
  const { data } = await client.from("processing_jobs").select("id")
    .eq("document_id", documentId).throwOnError();
  return data.length;
}

async function chunksOf({ client }: Actor, documentId: string) {
  const { data } = await client.from("document_chunks").select()
    .eq("document_id", documentId).order("position").throwOnError();
  return data;
}

Deno.test("a stored document is chunked, and the chunks are its text", async () => {
  const text = "# Keys 📦\n\n" + "Every parcel has a label. ".repeat(300);
  const documentId = await insertDocument(ada, text);
  const { status, body } = await call(stack(), ada, FUNCTION, {
    body: { documentId },
  });
  assertEquals(status, 200);
  const { jobId, ...rest } = body;
  assertEquals(typeof jobId, "string");
  const chunks = await chunksOf(ada, documentId);
  assertEquals(rest, {
    documentId,
    status: "completed",
    title: "Guide",
    mimeType: "text/markdown",
    chunkCount: chunks.length,
    characters: Array.from(text).length,
  });
  assertEquals(chunks.map(({ content }) => content).join(""), text);
});

Deno.test("twenty calls with one key make one job, and all answers name it", async () => {
  const documentId = await insertDocument(ada, "One parcel, one label.");
  const request = { body: { documentId }, key: unique("key") };
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => call(stack(), ada, FUNCTION, request)),
  );
  const { body } = await call(stack(), ada, FUNCTION, request);
  for (const answer of answers) {
    assert([200, 409].includes(answer.status), `got ${answer.status}`);
    if (answer.status === 200) assertEquals(answer.body.jobId, body.jobId);
  }
  assertEquals(await countJobs(ada, documentId), 1);
});

Deno.test("an upload is stored once, however often it is sent with its key", async () => {
  const key = unique("key");
  const pdf = await fixture("claims.pdf");
  const send = () =>
    call(stack(), ada, FUNCTION, {
      body: formWith(pdf, "claims.pdf", PDF),
      key,
    });
  const first = await send();
  assertEquals([first.status, first.body.pages], [200, 3]);
  const second = await send();
  assertEquals([second.replayed, second.body], [true, first.body]);
  assertEquals(await countJobs(ada, first.body.documentId), 1);

  const again = await call(stack(), ada, FUNCTION, {
    body: { documentId: first.body.documentId },
  });
  assertEquals(again.body.characters, first.body.characters);
});

Deno.test("a worker that dies after its job leaves one job, which the retry names", async () => {
  const documentId = await insertDocument(ada, "One parcel, one label.");
  const request = { body: { documentId }, key: unique("key") };
  const first = await call(stack(), ada, FUNCTION, request);
  await loseAnswer(stack(), request.key);
  const second = await call(stack(), ada, FUNCTION, request);
  assertEquals([second.status, second.replayed], [200, false]);
  assertEquals(second.body, first.body);
  assertEquals(await countJobs(ada, documentId), 1);
});

Deno.test("a worker that dies after storing an upload leaves one document", async () => {
  const key = unique("key");
  const title = unique("title");
  const send = () =>
    call(stack(), ada, FUNCTION, {
      body: formWith(new TextEncoder().encode("A label."), `${title}.txt`),
      key,
    });
  const first = await send();
  await loseAnswer(stack(), key);
  const second = await send();
  assertEquals([second.status, second.replayed], [200, false]);
  assertEquals(second.body, first.body);
  const { data: documents } = await ada.client.from("documents").select("id")
    .like("title", `${title}%`).throwOnError();
  assertEquals(documents.map(({ id }) => id), [first.body.documentId]);
  assertEquals((await chunksOf(ada, first.body.documentId)).length, 1);
});

Deno.test("processing a document anew replaces its chunks", async () => {
  const documentId = await insertDocument(ada, "Every parcel has a label.");
  const request = { body: { documentId } };
  const jobs = await Promise.all(
    Array.from({ length: 5 }, () => call(stack(), ada, FUNCTION, request)),
  );
  assertEquals(jobs.map(({ status }) => status), Array(5).fill(200));
  assertEquals(await countJobs(ada, documentId), 5);
  assertEquals((await chunksOf(ada, documentId)).length, 1);
});

Deno.test("somebody else's document is as unknown as one that is not there", async () => {
  const documentId = await insertDocument(ada, "Private.");
  const missing = crypto.randomUUID();
  const other = await call(stack(), ben, FUNCTION, { body: { documentId } });
  const none = await call(stack(), ben, FUNCTION, {
    body: { documentId: missing },
  });
  assertEquals([other.status, none.status], [404, 404]);
  const named = JSON.stringify(other.body).replaceAll(documentId, missing);
  assertEquals(JSON.parse(named), none.body);
});

Deno.test("a user can neither read nor write what hangs on another's document", async () => {
  const documentId = await insertDocument(ada, "Private.");
  await call(stack(), ada, FUNCTION, { body: { documentId } });
  assertEquals(await chunksOf(ben, documentId), []);
  assertEquals(await countJobs(ben, documentId), 0);

  const chunk = { ...CHUNK, document_id: documentId };
  const own = await ben.client.from("document_chunks").insert(chunk);
  assertEquals(own.error?.code, "23503");
  const forged = { ...chunk, user_id: ada.userId };
  const hers = await ben.client.from("document_chunks").insert(forged);
  assertEquals(hers.error?.code, "42501");
  const job = { document_id: documentId, chunk_count: 1, characters: 1 };
  const { error } = await ben.client.from("processing_jobs").insert(job);
  assertEquals(error?.code, "23503");
  const stored = await ben.client.rpc("store_processed_document", {
    p_document_id: documentId,
    p_chunks: [],
  });
  assertEquals(stored.error?.code, "PT404");
  assertEquals((await chunksOf(ada, documentId)).length, 1);
});

Deno.test("a chunk whose hash or offsets do not fit its text is not stored", async () => {
  const documentId = await insertDocument(ada, "abc");
  const store = (chunk: typeof CHUNK) =>
    ada.client.rpc("store_processed_document", {
      p_document_id: documentId,
      p_chunks: [chunk],
    });
  const altered = await store({ ...CHUNK, content: "abd" });
  const moved = await store({ ...CHUNK, end_offset: 4 });
  assertEquals([altered.error?.code, moved.error?.code], ["23514", "23514"]);
  assertEquals(await countJobs(ada, documentId), 0);
  assertEquals((await store(CHUNK)).error, null);
});

Deno.test("no document is larger than 10 MiB in base64, whoever stores it", async () => {
  const store = (characters: number) =>
    stack().sql(
      `insert into public.documents (user_id, title, mime_type, content)
       values ($1, 'large', 'text/plain', repeat('x', $2::integer))`,
      [ada.userId, characters],
    );
  await store(13_981_016);
  await assertRejects(() => store(13_981_017), Error, "10_mib");
});

Deno.test("who is not signed in sees and calls nothing", async () => {
  const { client } = anonymous(stack());
  for (
    const table of ["documents", "document_chunks", "processing_jobs"] as const
  ) {
    const { error } = await client.from(table).select();
    assertEquals(error?.code, "42501");
  }
  const answer = await call(stack(), anonymous(stack()), FUNCTION);
  assertEquals(answer.status, 401);
});

Deno.test("bad input gets a problem document that says what to do", async () => {
  const binary = (size: number) => new Uint8Array(size);
  const emptyId = await insertDocument(ada, "");
  const imageId = await insertDocument(ada, "x", "image/png");
  const brokenId = await insertDocument(ada, "!", PDF);
  const two = formWith("One", "one.txt");
  two.append("file", new File(["Two"], "two.txt"));
  for (
    const [body, status, code] of [
      ["{", 400, "JSON_MALFORMED"],
      ["", 400, "JSON_MALFORMED"],
      [{}, 400, "REQUEST_INVALID"],
      [{ documentId: 7 }, 400, "REQUEST_INVALID"],
      [{ documentId: "7" }, 400, "REQUEST_INVALID"],
      [{ documentId: emptyId }, 422, "EMPTY_DOCUMENT"],
      [{ documentId: imageId }, 415, "UNSUPPORTED_DOCUMENT_TYPE"],
      [{ documentId: brokenId }, 422, "BROKEN_DOCUMENT"],
      [new FormData(), 400, "FORM_INVALID"],
      [two, 400, "FORM_INVALID"],
      [formWith("", "a.txt", "text/plain"), 422, "EMPTY_DOCUMENT"],
      [formWith("x", "a.png", "image/png"), 415, "UNSUPPORTED_DOCUMENT_TYPE"],
      [formWith("a\0b", "a.txt", "text/plain"), 422, "BROKEN_DOCUMENT"],
      [formWith(binary(50e6), "a.txt", "text/plain"), 413, "REQUEST_TOO_LARGE"],
      [formWith(await fixture("broken.pdf"), "a.pdf"), 422, "BROKEN_DOCUMENT"],
      [
        formWith(await fixture("encrypted.pdf"), "a.pdf"),
        422,
        "ENCRYPTED_DOCUMENT",
      ],
      [formWith(await fixture("scanned.pdf"), "a.pdf"), 422, "NO_TEXT_FOUND"],
    ] as const
  ) {
    for (const key of [unique("key"), undefined]) {
      const answer = await call(stack(), ada, FUNCTION, {
        body,
        ...(key === undefined ? {} : { key }),
      });
      assertEquals([answer.status, answer.body.code], [status, code]);
      assertStringIncludes(
        answer.headers.get("content-type")!,
        "application/problem+json",
      );
      assertEquals(answer.body.status, status);
      assertEquals(answer.headers.has("x-idempotency-stored"), false);
    }
  }
});

Deno.test("text is read as it is declared, and its document holds it as text", async () => {
  for (
    const [name, type, text] of [
      ["cp1252.txt", "text/plain; charset=windows-1252", "Grüße – “quoted” €5"],
      ["utf16le.txt", "text/plain", "Grüße aus Köln. Ein Satz."],
    ] as const
  ) {
    const { status, body } = await call(stack(), ada, FUNCTION, {
      body: formWith(await fixture(name), name, type),
    });
    assertEquals([status, body.mimeType], [200, "text/plain"]);
    const again = await call(stack(), ada, FUNCTION, {
      body: { documentId: body.documentId },
    });
    assertEquals(again.status, 200);
    const [chunk] = await chunksOf(ada, body.documentId);
    assertEquals(chunk?.content, text);
  }
});

Deno.test("a file is taken by its start, whatever the sender calls it", async () => {
  const pdf = await fixture("claims.pdf");
  for (const type of ["application/x-pdf", "binary/octet-stream"]) {
    const { status, body } = await call(stack(), ada, FUNCTION, {
      body: formWith(pdf, "claims", type),
    });
    assertEquals([status, body.mimeType, body.pages], [200, PDF, 3]);
  }
});

Deno.test("pages, tables and Word documents are read, stored and read again", async () => {
  const page = Buffer.from(
    "<meta charset=windows-1252><h1>Gr\xfc\xdfe</h1><p>Ein Satz.",
    "latin1",
  );
  for (
    const [file, name, type, mimeType, text] of [
      [page, "a.html", "text/html", "text/html", "Grüße\n\nEin Satz."],
      [
        "Name;Ort\nAda;London\n",
        "a.csv",
        "application/vnd.ms-excel",
        "text/csv",
        "Name\tOrt\nAda\tLondon",
      ],
      [docxOf(paragraph("A label.")), "a", "", DOCX, "A label."],
    ] as const
  ) {
    const { status, body } = await call(stack(), ada, FUNCTION, {
      body: formWith(file, name, type),
    });
    assertEquals([status, body.mimeType], [200, mimeType]);
    for (const _ of [1, 2]) {
      const [chunk] = await chunksOf(ada, body.documentId);
      assertEquals(chunk?.content, text);
      const again = await call(stack(), ada, FUNCTION, {
        body: { documentId: body.documentId },
      });
      assertEquals(again.status, 200);
    }
  }
});

Deno.test("a file whose name is only there in the form for other alphabets is a file", async () => {
  const boundary = "of-a-sender-of-its-own";
  for (
    const [value, title] of [
      ["UTF-8''na%C3%AFve.txt", "naïve.txt"],
      ["UTF-8''%ZZ.txt", "%ZZ.txt"],
    ] as const
  ) {
    const form = [
      `--${boundary}`,
      `Content-Disposition: form-data; name="file"; filename*=${value}`,
      "Content-Type: text/plain",
      "",
      "A label.",
      `--${boundary}--`,
      "",
    ].join("\r\n");
    const answer = await call(stack(), ada, FUNCTION, {
      body: form,
      headers: { "Content-Type": `multipart/form-data; boundary=${boundary}` },
    });
    assertEquals([answer.status, answer.body.title], [200, title]);
  }
});

Deno.test("text that would be lost is refused, and a small file that is large", async () => {
  const bomb = pageOf("q Q ".repeat(28_500_000));
  const undrawn = new TextDecoder().decode(await fixture("xfa.pdf"))
    .replace("NeedsRendering", "NeedsNoDrawing");
  for (
    const [file, status, code] of [
      [undrawn, 422, "UNREADABLE_TEXT"],
      [bomb, 413, "DOCUMENT_TOO_LARGE"],
    ] as const
  ) {
    const answer = await call(stack(), ada, FUNCTION, {
      body: formWith(new Blob([file as BlobPart]), "a.pdf", PDF),
      key: unique("key"),
    });
    assertEquals([answer.status, answer.body.code], [status, code]);
    assertEquals(answer.headers.has("x-idempotency-stored"), false);
  }
});

Deno.test("a refused request runs under the same key once its cause is gone", async () => {
  const documentId = crypto.randomUUID();
  const request = { body: { documentId }, key: unique("key") };
  const refused = await call(stack(), ada, FUNCTION, request);
  assertEquals(refused.status, 404);
  await ada.client.from("documents").insert({
    id: documentId,
    title: "Late",
    mime_type: "text/plain",
    content: "Better than never.",
  }).throwOnError();
  const answer = await call(stack(), ada, FUNCTION, request);
  assertEquals([answer.status, answer.replayed], [200, false]);
});

Deno.test("methods other than POST are refused with what is allowed", async () => {
  for (const method of ["GET", "PUT", "DELETE"]) {
    const answer = await call(stack(), ada, FUNCTION, { method });
    assertEquals(answer.status, 405);
    assertEquals(answer.headers.get("allow"), "POST, OPTIONS");
  }
});

Deno.test("a form whose parts have a head that is not UTF-8 is refused", async () => {
  const head = 'Content-Disposition: form-data; name="file"; filename="';
  const form = new TextEncoder().encode(
    `--b\r\n${head}?.md"\r\n\r\n# Guide\r\n--b--\r\n`,
  );
  form[form.indexOf("?".charCodeAt(0))] = 0xff;
  const response = await fetch(`${stack().apiUrl}/functions/v1/${FUNCTION}`, {
    method: "POST",
    headers: {
      ...ada.headers,
      "Content-Type": "multipart/form-data; boundary=b",
    },
    body: form,
  });
  const { code } = await response.json();
  assertEquals([response.status, code], [400, "FORM_INVALID"]);
});
