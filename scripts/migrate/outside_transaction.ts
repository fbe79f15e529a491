import type { Directives } from "./directives.ts";
import { MigrationRefusedError } from "./errors.ts";
import { type Statement, wordsOf } from "./statements.ts";

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

/** How the statements of a file are to be run. */
export interface Execution {
  statements: Statement[];
  /** False: one by one, each committed by itself. */
  transactional: boolean;
}

function shape(statement: Statement): string {
  return wordsOf(statement.text).join(" ");
}

/** Whether the server refuses the statement inside a transaction. */
export function forbidsTransaction(statement: Statement): boolean {
  const words = shape(statement);
  return FORBIDDEN.some((pattern) => pattern.test(words));
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
  all: Statement[],
  { noTransaction }: Directives,
): Execution {
  const statements = withoutOwnTransaction(all);
  const control = statements.find((each) => CONTROL.test(shape(each)));
  if (control !== undefined) {
    throw new MigrationRefusedError(
      `Cannot run ${file}: line ${control.line} controls the transaction (${
        shape(control)
      }); leave that out, each file has a transaction of its own`,
    );
  }
  const forbidden = statements.find(forbidsTransaction);
  if (forbidden === undefined && !noTransaction) {
    return { statements, transactional: true };
  }
  const other = statements.find((each) => {
    const words = shape(each);
    return words !== "" && !forbidsTransaction(each) && !SETTING.test(words);
  });
  if (forbidden !== undefined && other !== undefined && !noTransaction) {
    throw new MigrationRefusedError(
      `Cannot run ${file}: line ${forbidden.line} (${
        shape(forbidden).split(" ").slice(0, 4).join(" ")
      } …) may not run in a transaction, and line ${other.line} should; move it into a migration of its own`,
    );
  }
  return { statements, transactional: false };
}

function withoutOwnTransaction(all: Statement[]): Statement[] {
  const code = all.filter((each) => shape(each) !== "");
  const first = code[0];
  const last = code.at(-1);
  if (code.length < 2 || first === undefined || last === undefined) return all;
  if (!BEGINS.test(shape(first)) || !COMMITS.test(shape(last))) return all;
  return all.filter((each) => each !== first && each !== last);
}
