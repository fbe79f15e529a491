/** How the command ends; written down in docs/recipes/migrations.md. */
export const EXIT = {
  done: 0,
  /** Something failed, and the database is as it was. */
  failed: 1,
  /** Nothing was begun: wrong options, files or state, or no database. */
  refused: 2,
  /** Another runner is at it. */
  busy: 3,
  /** The database is not what the files say. */
  unverified: 4,
  /** Something failed, and not all of it could be undone. */
  needsPerson: 5,
} as const;

/** Thrown before anything was begun; the message says what to do instead. */
export class MigrationRefusedError extends Error {
  override readonly name = "MigrationRefusedError";
}

/** Thrown when another runner holds the lock for longer than we may wait. */
export class RunnerBusyError extends Error {
  override readonly name = "RunnerBusyError";
}

/** Thrown when backing up or restoring fails. */
export class BackupError extends Error {
  override readonly name = "BackupError";
}

/** Thrown when a migration did its work, but a check of it does not hold. */
export class VerificationError extends Error {
  override readonly name = "VerificationError";
}

/** Thrown when a statement of a file failed. */
export class StatementError extends Error {
  override readonly name = "StatementError";
  constructor(
    readonly sqlState: string | undefined,
    message: string,
    cause: unknown,
  ) {
    super(message, { cause });
  }
}

/** Thrown when a file that runs apart failed half-way. */
export class HalfDoneError extends Error {
  override readonly name = "HalfDoneError";
  constructor(readonly stays: readonly string[], cause: unknown) {
    super((cause as Error).message, { cause });
  }
}

/** Thrown when a run failed; says what of it was undone and what was not. */
export class RunFailedError extends Error {
  override readonly name = "RunFailedError";
  constructor(
    message: string,
    readonly undone: readonly string[],
    readonly notUndone: readonly string[],
    cause: unknown,
  ) {
    super(message, { cause });
  }
}

/** The code of a system's error, such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

/** The SQLSTATE of a server's error, if it is one. */
export function sqlStateOf(error: unknown): string | undefined {
  return /^[0-9A-Z]{5}$/.exec(codeOf(error) ?? "")?.[0];
}

/** The exit code of an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof RunFailedError) {
    return error.notUndone.length > 0 ? EXIT.needsPerson : EXIT.failed;
  }
  if (error instanceof MigrationRefusedError) return EXIT.refused;
  if (error instanceof RunnerBusyError) return EXIT.busy;
  if (error instanceof VerificationError) return EXIT.unverified;
  return EXIT.failed;
}

const ADVICE: readonly [state: RegExp, advice: string][] = [
  [
    /^(?:08|57P)/,
    "the connection was lost and the server rolled back: run it again",
  ],
  [
    /^42(?:701|710|723|P06|P07)/,
    "if it was made by hand, tell the records: supabase migration repair --status applied VERSION (the linked project's with --remote)",
  ],
  [
    /^(?:25001|2D000)/,
    "it cannot run in a transaction: move it into a migration of its own and write `-- migrate: no transaction` above it",
  ],
  [/^42501/, "connect as the role that owns these objects, usually postgres"],
  [
    /^42P01/,
    "does it belong to an earlier migration that is not there, or to an extension?",
  ],
  [
    /^55P04/,
    "a value added to an enum can be used only after a commit: use it in a later migration",
  ],
  [
    /^55(?:006|P03)/,
    "run it again at a quieter time, or end the session that is in the way",
  ],
  [/^53100/, "make room on the server's disk, and run it again"],
  [/^(?:40P01|57014)/, "run it again"],
];

/** What a person can do about an error of the server, if that is known. */
export function adviceFor(error: unknown): string | undefined {
  const code = sqlStateOf(error) ?? "";
  return ADVICE.find(([state]) => state.test(code))?.[1];
}
