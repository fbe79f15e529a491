import { parse } from "csv-parse/sync";
import { mediaType, readBytes } from "../_kit/read_request.ts";
import { Refusal } from "../_kit/refuse.ts";

/** What was counted of each product. */
export interface Count extends Record<string, unknown> {
  lines: { sku: string; counted: number }[];
}

// As many lines as the database takes, each with a SKU of 64 characters.
const MAX_BYTES = 1024 * 1024;
const MAX_LINES = 10_000;
const MAX_COUNTED = 1_000_000_000;

/**
 * Reads a count as a spreadsheet saves it: `text/csv` with the columns `sku` and
 * `counted`, in any order and beside others, separated by commas, semicolons or
 * tabs.
 *
 * @throws {Refusal} 400 when it is no such list, 413 when it is longer than
 * 1 MiB, 415 when it is not declared as CSV.
 */
export async function readCount(req: Request): Promise<Count> {
  const type = mediaType(req);
  if (type !== "text/csv") {
    throw new Refusal({
      status: 415,
      code: "UNSUPPORTED_CONTENT_TYPE",
      title: "Unsupported content type",
      detail: `The request has the content type "${type}": send text/csv`,
    });
  }
  const rows = parseRows(await readBytes(req, MAX_BYTES));
  const seen = new Set<string>();
  const lines = rows.map(({ sku, counted }, index) => {
    // The header is line 1.
    const where = `line ${index + 2}`;
    if (sku === undefined || counted === undefined) {
      throw invalid(
        "the first line has to name the columns sku and counted",
      );
    }
    if (sku === "" || [...sku].length > 64 || sku.includes("\0")) {
      throw invalid(`${where} needs a SKU of 1 to 64 characters`);
    }
    if (!/^\d{1,10}$/.test(counted) || Number(counted) > MAX_COUNTED) {
      throw invalid(
        `${where} needs a whole number from 0 to ${MAX_COUNTED} in counted`,
      );
    }
    if (seen.has(sku)) {
      throw invalid(`${where} names ${sku} again: add the pieces up`);
    }
    seen.add(sku);
    return { sku, counted: Number(counted) };
  });
  if (lines.length < 1 || lines.length > MAX_LINES) {
    throw invalid(
      `there must be 1 to ${MAX_LINES} lines, not ${lines.length}`,
    );
  }
  return { lines };
}

function parseRows(
  bytes: Uint8Array<ArrayBuffer>,
): { sku?: string; counted?: string }[] {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const [header = ""] = text.split(/\r?\n/, 1);
    const delimiter = [";", "\t"].find((sign) => header.includes(sign)) ?? ",";
    return parse(text, {
      columns: columnsOf,
      delimiter,
      skip_empty_lines: true,
      trim: true,
    });
  } catch (cause) {
    throw invalid(
      cause instanceof TypeError
        ? "it is not text in UTF-8: save it as such"
        : (cause as Error).message,
      { cause },
    );
  }
}

function columnsOf(header: string[]): string[] {
  const names = header.map((name) => name.trim().toLowerCase());
  for (const name of ["sku", "counted"]) {
    // The parser would take the last one.
    if (names.indexOf(name) !== names.lastIndexOf(name)) {
      throw new Error(`two columns are named ${name}: leave one out`);
    }
  }
  return names;
}

function invalid(detail: string, options?: ErrorOptions): Refusal {
  return new Refusal({
    status: 400,
    code: "CSV_INVALID",
    title: "Invalid CSV",
    detail: `The count is not as expected: ${detail.slice(0, 300)}`,
  }, options);
}
