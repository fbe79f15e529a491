import { readFile } from "node:fs/promises";
import { getDocumentProxy } from "unpdf";
import {
  DocumentError,
  MAX_PDF_PAGES,
  MAX_TEXT_LENGTH,
  MAX_UNPACKED_BYTES,
} from "./document.ts";
import { isWithinBound } from "./pdf_streams.ts";
import { linesOf } from "./reading_order.ts";

type Pdf = Awaited<ReturnType<typeof getDocumentProxy>>;
type Page = Awaited<ReturnType<Pdf["getPage"]>>;

/**
 * The text of a PDF, page by page with an empty line between two pages; what
 * was typed into its form stands below the text of its page.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT`, `ENCRYPTED_DOCUMENT`,
 * `DOCUMENT_TOO_LARGE`, or `UNREADABLE_TEXT` where some would be lost.
 */
export async function readPdf(
  bytes: Uint8Array,
  readCharacterMap: ReadCharacterMap = fromLibrary,
): Promise<{ text: string; pages: number; pagesWithoutText?: number }> {
  if (!isWithinBound(bytes, MAX_UNPACKED_BYTES)) {
    throw tooLarge(
      `unpacks to more than ${MAX_UNPACKED_BYTES} bytes, a content stream as often as pages name it`,
    );
  }
  const { missing, Factory } = characterMaps(readCharacterMap);
  const pdf = await open(bytes, Factory);
  try {
    if (pdf.numPages > MAX_PDF_PAGES) {
      throw tooLarge(`has ${pdf.numPages} pages, more than ${MAX_PDF_PAGES}`);
    }
    const texts = await readPages(pdf);
    const written = texts.filter((text) => text !== "");
    const text = written.join("\n\n");
    if (missing.length > 0) {
      throw unreadable(`goes by ${missing[0]}, which is not known here`);
    }
    await assertNoPlaceholder(pdf, text);
    const pagesWithoutText = texts.length - written.length;
    return {
      text,
      pages: texts.length,
      ...(pagesWithoutText === 0 ? {} : { pagesWithoutText }),
    };
  } catch (error) {
    throw error instanceof DocumentError ? error : broken(error);
  } finally {
    await pdf.loadingTask.destroy();
  }
}

async function open(
  bytes: Uint8Array,
  BinaryDataFactory: new () => unknown,
): Promise<Pdf> {
  try {
    return await getDocumentProxy(
      // A copy, because the parser takes its input away.
      bytes.slice(),
      {
        BinaryDataFactory,
        enableXfa: true,
        // Errors only: its warnings about fonts would fill the log.
        verbosity: 0,
      },
    );
  } catch (error) {
    if (error instanceof Error && error.name === "PasswordException") {
      throw new DocumentError(
        "ENCRYPTED_DOCUMENT",
        "The PDF asks for a password: save it without one and send that file",
        { cause: error },
      );
    }
    throw broken(error);
  }
}

/** Reads one of Adobe's character maps, such as `UniGB-UCS2-H.bcmap`. */
type ReadCharacterMap = (name: string) => Promise<Uint8Array>;

// By these maps from codes to characters go Chinese, Japanese and Korean fonts
// that are not in the file. unpdf has none; pdf.js-extract has, of which nothing
// else is used, and which is imported by no line that runs.
const fromLibrary: ReadCharacterMap = async (name) => {
  const library = import.meta.resolve("pdf.js-extract");
  return await readFile(new URL(`cmaps/${name}`, library));
};
export const library = () => import("pdf.js-extract");

/**
 * Hands the parser character maps. That they can be read is no matter of course
 * where code is bundled, and the parser leaves text out without them and goes
 * on: what was missing is remembered.
 */
function characterMaps(read: ReadCharacterMap) {
  const missing: string[] = [];
  class Factory {
    async fetch({ kind, filename }: { kind: string; filename: string }) {
      // The others are for drawing.
      if (kind !== "cMapUrl") throw new Error(`There is no ${filename} here`);
      try {
        return new Uint8Array(await read(filename));
      } catch (error) {
        missing.push(filename);
        throw error;
      }
    }
  }
  return { missing, Factory };
}

async function readPages(pdf: Pdf): Promise<string[]> {
  const pages: string[] = [];
  let length = 0;
  for (let number = 1; number <= pdf.numPages; number++) {
    const page = await pdf.getPage(number);
    const text = pdf.isPureXfa ? await readForm(page) : await readPage(page);
    page.cleanup();
    length += text.length;
    if (length > MAX_TEXT_LENGTH) {
      throw tooLarge(`holds more than ${MAX_TEXT_LENGTH} characters of text`);
    }
    assertReadable(text, number);
    pages.push(text.trim());
  }
  return pages;
}

async function readPage(page: Page): Promise<string> {
  const { items } = await page.getTextContent();
  const texts = items.filter((item) => "str" in item);
  return [...linesOf(texts), ...await typedInto(page)].join("\n");
}

/** What was typed into the fields of a page, a field a line. */
async function typedInto(page: Page): Promise<string[]> {
  const lines: string[] = [];
  for (const annotation of await page.getAnnotations()) {
    if (annotation.hidden) continue;
    const value = annotation.subtype === "FreeText"
      ? annotation.contentsObj?.str
      : annotation.subtype === "Widget" && !annotation.password
      ? chosenIn(annotation)
      : undefined;
    if (!value) continue;
    const name = annotation.alternativeText || annotation.fieldName;
    lines.push(name ? `${name}: ${value}` : value);
  }
  return lines;
}

function chosenIn(
  { fieldValue, checkBox, radioButton, exportValue, buttonValue, pushButton }:
    Record<string, unknown>,
): string | undefined {
  if (pushButton) return undefined;
  // Each button of a group has the value of the group.
  if (radioButton && fieldValue !== buttonValue) return undefined;
  if (checkBox && fieldValue !== exportValue) return undefined;
  return [fieldValue].flat().filter((value) => typeof value === "string")
    .join(", ");
}

interface XfaNode {
  name?: string;
  value?: string;
  attributes?: Record<string, unknown>;
  children?: XfaNode[];
}

/** A page of a form that is drawn when it is opened (XFA). */
async function readForm(page: Page): Promise<string> {
  return [...textsOf(await page.getXfa() as XfaNode | null)].join("\n");
}

function* textsOf(node: XfaNode | null): Iterable<string> {
  if (node === null) return;
  const { name, value, attributes = {}, children = [] } = node;
  const isButton = attributes["type"] === "checkbox" ||
    attributes["type"] === "radio";
  const text = name === "option" && !attributes["selected"]
    ? undefined
    : isButton
    ? attributes["checked"] && attributes["xfaOn"]
    : attributes["textContent"] ?? attributes["value"] ?? value;
  if (typeof text === "string" && text !== "") yield text;
  if (name === "option") return;
  for (const child of children) yield* textsOf(child);
}

// What Adobe's tools put on the only page of a form for readers that cannot
// draw it.
const PLACEHOLDER = /^\s*Please wait\.\.\./;

async function assertNoPlaceholder(pdf: Pdf, text: string): Promise<void> {
  if (pdf.isPureXfa) return;
  const { info } = await pdf.getMetadata();
  const { IsXFAPresent, IsAcroFormPresent } = info as Record<string, unknown>;
  if (!IsXFAPresent) return;
  if (IsAcroFormPresent && !PLACEHOLDER.test(text)) return;
  throw unreadable(
    "is that of a dynamic form (XFA), of which the file shows a placeholder",
  );
}

// Not one icon or bullet from a font of symbols, but text without a table of
// its characters.
const MIN_UNREADABLE = 20;
const MAX_UNREADABLE_SHARE = 0.1;

// Private use, replacement, and controls other than white space.
const UNREADABLE =
  // deno-lint-ignore no-control-regex
  /[\p{Co}\ufffd\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f]/gu;

function assertReadable(text: string, page: number): void {
  const unreadable = text.match(UNREADABLE)?.length ?? 0;
  if (unreadable < MIN_UNREADABLE) return;
  if (unreadable < MAX_UNREADABLE_SHARE * text.length) return;
  throw new DocumentError(
    "UNREADABLE_TEXT",
    `The text on page ${page} of the PDF cannot be read, its font does not say which characters it shows: run text recognition (OCR) on it first`,
  );
}

function unreadable(what: string): DocumentError {
  return new DocumentError(
    "UNREADABLE_TEXT",
    `Text of the PDF ${what}: print it to a new PDF, and send that file`,
  );
}

function tooLarge(what: string): DocumentError {
  return new DocumentError(
    "DOCUMENT_TOO_LARGE",
    `The PDF ${what}: split it`,
  );
}

function broken(cause: unknown): DocumentError {
  return new DocumentError(
    "BROKEN_DOCUMENT",
    "The file cannot be read as a PDF: check that it opens in a viewer, then send it again",
    { cause },
  );
}
