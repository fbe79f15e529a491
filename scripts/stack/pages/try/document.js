// The document: checked, uploaded once for each side, and remembered with its
// attempt.
import { call } from "./project.js";

const NAME = "try:document";
const MAX_BYTES = 10 * 1024 * 1024;
const TYPES = {
  md: "text/markdown",
  markdown: "text/markdown",
  pdf: "application/pdf",
  txt: "text/plain",
};

/**
 * The document in hand, or `null`: its `title`, its id `without` protection and
 * `with` it, and of its attempt the `number`, whether it `isOpen` (sent, not answered) and, once answered, its
 * `key`.
 */
export function currentDocument() {
  return JSON.parse(localStorage.getItem(NAME));
}

/** Notes what has become of the document in hand. */
export function noteDocument(changes) {
  const noted = { ...currentDocument(), ...changes };
  localStorage.setItem(NAME, JSON.stringify(noted));
}

/** Takes the document out of hand. */
export function forgetDocument() {
  localStorage.removeItem(NAME);
}

/** Whether a change of the storage is one of the document. */
export function isDocument(storageEvent) {
  return storageEvent.key === NAME;
}

/** Uploads a document, which is then the one in hand. */
export async function upload(document) {
  const ids = await call("/rest/v1/documents?select=id", {
    body: [document, document],
    headers: { Prefer: "return=representation" },
  });
  forgetDocument();
  noteDocument({
    without: ids[0].id,
    with: ids[1].id,
    title: document.title,
    isOpen: false,
    key: null,
    number: 1,
  });
}

/** How many jobs have processed each of some documents. */
export async function jobsOf(ids) {
  const query = new URLSearchParams({
    document_id: `in.(${ids})`,
    select: "document_id",
  });
  const counts = new Map();
  for (const job of await call(`/rest/v1/processing_jobs?${query}`)) {
    counts.set(job.document_id, (counts.get(job.document_id) ?? 0) + 1);
  }
  return counts;
}

/**
 * Reads a file as a document.
 *
 * @throws {Error} With a message to show.
 */
export async function readFile(file) {
  const extension = /\.([^.]+)$/.exec(file.name)?.[1].toLowerCase() ?? "";
  const mime_type = Object.hasOwn(TYPES, extension)
    ? TYPES[extension]
    : undefined;
  if (!mime_type) {
    throw new Error(
      `“${file.name}” is no text, Markdown or PDF: choose a .txt, .md or .pdf file.`,
    );
  }
  if (file.size === 0) throw new Error(`“${file.name}” is empty.`);
  if (file.size > MAX_BYTES) {
    const size = (file.size / 1024 / 1024).toFixed(1);
    throw new Error(
      `“${file.name}” has ${size} MiB: choose one of at most 10 MiB.`,
    );
  }
  const content = extension === "pdf"
    ? await readBase64(file)
    : await readText(file);
  return { title: file.name.slice(0, 200), mime_type, content };
}

async function readText(file) {
  const bytes = await file.arrayBuffer();
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // Said below.
  }
  throw new Error(`“${file.name}” is not text in UTF-8: save it as such.`);
}

function readBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1]);
    reader.onerror = () =>
      reject(new Error(`“${file.name}” cannot be read: choose it again.`));
    reader.readAsDataURL(file);
  });
}
