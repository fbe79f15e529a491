import { getDocumentProxy } from "unpdf";
import { DocumentError } from "./document_error.ts";
import { MAX_PDF_PAGES, MAX_TEXT_LENGTH } from "./limits.ts";

type Pdf = Awaited<ReturnType<typeof getDocumentProxy>>;

/**
 * The text of a PDF, page by page with an empty line between two pages.
 *
 * @throws {DocumentError} `BROKEN_DOCUMENT`, `ENCRYPTED_DOCUMENT` or
 * `DOCUMENT_TOO_LARGE`.
 */
export async function extractPdf(
  bytes: Uint8Array,
): Promise<{ text: string; pages: number }> {
  const pdf = await open(bytes);
  try {
    if (pdf.numPages > MAX_PDF_PAGES) {
      throw new DocumentError(
        "DOCUMENT_TOO_LARGE",
        `The PDF has ${pdf.numPages} pages, more than ${MAX_PDF_PAGES}: split it`,
      );
    }
    return { text: await readPages(pdf), pages: pdf.numPages };
  } catch (error) {
    throw error instanceof DocumentError ? error : broken(error);
  } finally {
    await pdf.loadingTask.destroy();
  }
}

async function open(bytes: Uint8Array): Promise<Pdf> {
  try {
    // A copy, because the parser takes its input away; errors only, because its
    // warnings about fonts would fill the log.
    return await getDocumentProxy(bytes.slice(), { verbosity: 0 });
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

async function readPages(pdf: Pdf): Promise<string> {
  const pages: string[] = [];
  let length = 0;
  for (let number = 1; number <= pdf.numPages; number++) {
    const page = await pdf.getPage(number);
    const { items } = await page.getTextContent();
    const text = items
      .map((item) => "str" in item ? item.str + (item.hasEOL ? "\n" : "") : "")
      .join("");
    page.cleanup();
    length += text.length;
    if (length > MAX_TEXT_LENGTH) {
      throw new DocumentError(
        "DOCUMENT_TOO_LARGE",
        `The PDF holds more than ${MAX_TEXT_LENGTH} characters of text: split it`,
      );
    }
    if (text.trim() !== "") pages.push(text.trim());
  }
  return pages.join("\n\n");
}

function broken(cause: unknown): DocumentError {
  return new DocumentError(
    "BROKEN_DOCUMENT",
    "The file cannot be read as a PDF: check that it opens in a viewer, then send it again",
    { cause },
  );
}
