/**
 * The largest document, in bytes. An edge function has 256 MB of memory; a
 * document is held as bytes, as text (two bytes a character), as chunks and as
 * the JSON that carries them, about ten times its size.
 */
export const MAX_DOCUMENT_BYTES = 10 * 1024 * 1024;

/**
 * The longest text that is taken from a document, in UTF-16 code units. A PDF
 * is compressed: its size does not bound its text.
 */
export const MAX_TEXT_LENGTH = MAX_DOCUMENT_BYTES;

/**
 * The most pages read from a PDF. A page full of text takes about 7 ms, and an
 * edge function may compute for 2 s per request.
 */
export const MAX_PDF_PAGES = 300;

/** The longest title, in characters; the table has the same bound. */
export const MAX_TITLE_LENGTH = 200;
