import { MigrationRefusedError } from "./errors.ts";
import type { Directives } from "./migration.ts";

/** One statement of an SQL file. */
export interface Statement {
  /** As written, with the comments before it, without the semicolon. */
  text: string;
  /** Line of the file on which `text` begins, from 1. */
  line: number;
}

// What may hide a semicolon, and the words that open and close SQL-standard
// function bodies. Sticky, so that each is tried where the last one ended.
const TOKEN = new RegExp(
  [
    /--[^\n]*/,
    /(?<block>\/\*)/,
    /[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)/,
    /'(?:[^']|'')*(?:'|$)/,
    /"(?:[^"]|"")*(?:"|$)/,
    /(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)/,
    /(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/,
    /(?<number>\d+\w*)/,
    /(?<end>;)/,
    /[\s\S]/,
  ].map(({ source }) => source).join("|"),
  "y",
);

/**
 * Splits an SQL file the way the Supabase CLI does, so that both record the
 * same: at semicolons outside quotes, comments and function bodies; trimmed;
 * without empty ones. A comment at the end is a statement of its own.
 */
export function splitStatements(sql: string): Statement[] {
  const source = sql.replace(/^\ufeff/, "");
  const statements: Statement[] = [];
  let start = 0;
  let line = 1;
  const cut = (end: number) => {
    const piece = source.slice(start, end);
    const text = piece.trim();
    const lead = piece.length - piece.trimStart().length;
    if (text !== "") {
      statements.push({ text, line: line + newlines(piece.slice(0, lead)) });
    }
    line += newlines(piece);
    start = end + 1;
  };
  // How deep in `begin atomic … end`, whose statements are not the file's own.
  let depth = 0;
  let before = "";
  for (const { index, end, groups } of tokens(source)) {
    const word = groups["word"]?.toLowerCase();
    if (before === "begin" && word === "atomic") depth++;
    else if (depth > 0 && word === "case") depth++;
    else if (depth > 0 && word === "end") depth--;
    before = word ?? before;
    if (groups["end"] === undefined || depth > 0) continue;
    cut(index);
    before = "";
    start = end;
  }
  cut(source.length);
  return statements;
}

/** The words of a statement that are neither quoted nor commented, lower case. */
export function wordsOf(text: string): string[] {
  return [...tokens(text)].flatMap(({ groups }) =>
    groups["word"] === undefined ? [] : [groups["word"].toLowerCase()]
  );
}

interface Token {
  index: number;
  end: number;
  groups: Record<string, string | undefined>;
}

function* tokens(source: string): Generator<Token> {
  for (let index = 0; index < source.length;) {
    TOKEN.lastIndex = index;
    const match = TOKEN.exec(source)!;
    const groups = match.groups ?? {};
    let end = index + match[0].length;
    if (groups["block"] !== undefined) end = endOfBlock(source, index);
    if (groups["dollar"] !== undefined) {
      const close = source.indexOf(groups["dollar"], end);
      end = close < 0 ? source.length : close + groups["dollar"].length;
    }
    yield { index, end, groups };
    index = end;
  }
}

/** Block comments nest in Postgres. */
function endOfBlock(source: string, from: number): number {
  let depth = 0;
  for (const { 0: mark, index } of source.slice(from).matchAll(/\/\*|\*\//g)) {
    depth += mark === "/*" ? 1 : -1;
    if (depth === 0) return from + index + 2;
  }
  return source.length;
}

function newlines(text: string): number {
  return text.split("\n").length - 1;
}

// From the server's own list: each calls PreventInTransactionBlock.
const FORBIDDEN: readonly RegExp[] = [
  /^create (?:unique )?index concurrently\b/,
  /^drop index concurrently\b/,
  /^reindex\b.* concurrently\b/,
  /^reindex (?:database|system|schema)\b/,
  /^vacuum\b/,
  /^(?:create|drop) (?:database|tablespace)\b/,
  /^alter system\b/,
  /^alter database \S+ set tablespace\b/,
  /^alter table\b.* detach partition\b.* concurrently\b/,
  /^(?:create|drop) subscription\b/,
  /^cluster$/,
  /^discard all\b/,
];
const BEGINS = /^(?:begin|start transaction)\b(?! atomic)/;
const COMMITS = /^(?:commit|end)\b(?! prepared)/;
const CONTROL =
  /^(?:begin|start transaction|commit|end|abort|rollback(?! to)|prepare transaction)\b/;
const SETTING = /^(?:set|reset)\b/;

/** Whether a text of SQL begins or ends a transaction. */
export function controlsTransaction(sql: string): boolean {
  return splitStatements(sql)
    .some(({ text }) => CONTROL.test(wordsOf(text).join(" ")));
}

/** How the statements of a file are to be run. */
export interface Execution {
  statements: Statement[];
  /** False: one by one, each committed by itself. */
  transactional: boolean;
}

/**
 * Decides how a file is run. A `begin` at its start with the `commit` at its
 * end is left out: it has a transaction anyway.
 *
 * @throws {MigrationRefusedError} when the file ends its transaction half-way,
 * or mixes statements that may not run in one with others: were it to fail in
 * between, nobody could take back the first half
 */
export function planExecution(
  file: string,
  all: readonly Statement[],
  { noTransaction }: Directives,
): Execution {
  const shaped = all.map((statement) => ({
    statement,
    words: wordsOf(statement.text).join(" "),
  }));
  const code = shaped.filter(({ words }) => words !== "");
  const [first, last] = [code[0], code.at(-1)];
  const isWrapped = first !== last && BEGINS.test(first?.words ?? "") &&
    COMMITS.test(last?.words ?? "");
  const isOwn = (each: unknown) =>
    !isWrapped || each !== first && each !== last;
  const own = code.filter(isOwn);
  const control = own.find(({ words }) => CONTROL.test(words));
  if (control !== undefined) {
    throw new MigrationRefusedError(
      `Cannot run ${file}: line ${control.statement.line} controls the transaction (${control.words}); leave that out, each file has a transaction of its own`,
    );
  }
  const statements = shaped.filter(isOwn).map(({ statement }) => statement);
  // Whether the server refuses it inside a transaction.
  const forbids = ({ words }: { words: string }) =>
    FORBIDDEN.some((pattern) => pattern.test(words));
  const forbidden = own.find(forbids);
  if (noTransaction || forbidden === undefined) {
    return { statements, transactional: !noTransaction };
  }
  const other = own.find((each) => !forbids(each) && !SETTING.test(each.words));
  if (other === undefined) return { statements, transactional: false };
  throw new MigrationRefusedError(
    `Cannot run ${file}: line ${forbidden.statement.line} (${
      forbidden.words.split(" ").slice(0, 4).join(" ")
    } …) may not run in a transaction, and line ${other.statement.line} should; move it into a migration of its own`,
  );
}
