import { adviceFor } from "./advice.ts";
import { sqlStateOf, StatementError } from "./errors.ts";
import type { Session } from "./session.ts";
import type { Statement } from "./statements.ts";

/** A statement and where it stands. */
export interface PlacedStatement {
  file: string;
  statement: Statement;
  /** Which of the file's statements it is, from 1. */
  number: number;
}

/**
 * Runs one statement of a file.
 *
 * @throws {StatementError} with file, line, SQLSTATE and what to do
 */
export async function runStatement<T>(
  session: Session,
  placed: PlacedStatement,
): Promise<T[]> {
  try {
    return await session.query<T>(placed.statement.text);
  } catch (error) {
    throw placedError(placed, error);
  }
}

function placedError(
  { file, statement, number }: PlacedStatement,
  error: unknown,
): StatementError {
  const { message, position, detail, hint, where } = error as {
    message: string;
    position?: string;
    detail?: string;
    hint?: string;
    where?: string;
  };
  const line = statement.line + linesBefore(statement.text, position);
  const state = sqlStateOf(error);
  const advice = adviceFor(error);
  const text = [
    `${file}, statement ${number}, line ${line}: ${message}${
      state === undefined ? "" : ` (SQLSTATE ${state})`
    }`,
    `  statement: ${firstLine(statement.text)}`,
    detail && `  detail: ${detail}`,
    hint && `  hint: ${hint}`,
    where && `  where: ${where.split("\n").join(", ")}`,
    advice && `  what to do: ${advice}`,
  ].filter(Boolean).join("\n");
  return new StatementError(
    { file, statement: number, line },
    state,
    text,
    error,
  );
}

/** The server counts characters from 1, and says nothing about runtime errors. */
function linesBefore(text: string, position: string | undefined): number {
  const until = position === undefined
    ? text.length - withoutComments(text).length
    : Number(position) - 1;
  return [...text].slice(0, until).filter((each) => each === "\n").length;
}

function withoutComments(text: string): string {
  return text.replace(/^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, "");
}

function firstLine(text: string): string {
  const line = withoutComments(text).split("\n")[0]!;
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
}
