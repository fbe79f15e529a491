import { sqlStateOf } from "./errors.ts";

const ALREADY_THERE =
  "if it was made by hand, tell the records: supabase migration repair --status applied VERSION";

const BY_STATE: Record<string, string> = {
  "25001":
    "move it into a migration of its own and write `-- migrate: no transaction` above it",
  "2D000":
    "a procedure that commits cannot run in a transaction: move the call into a migration of its own and write `-- migrate: no transaction` above it",
  "40P01": "it met another transaction in a deadlock: run it again",
  "42501": "connect as the role that owns these objects, usually postgres",
  "42701": ALREADY_THERE,
  "42710": ALREADY_THERE,
  "42723": ALREADY_THERE,
  "42P06": ALREADY_THERE,
  "42P07": ALREADY_THERE,
  "42P01":
    "does it belong to an earlier migration that is not there, or to an extension?",
  "53100": "the server's disk is full: make room and run it again",
  "55006": "somebody is using it: end that session or wait, and run it again",
  "55P03": "run it again at a quieter time, or end the session that blocks it",
  "55P04":
    "a value added to an enum can be used only after a commit: use it in a later migration",
  "57014": "somebody cancelled it: run it again",
};

/** What a person can do about an error of the server, if that is known. */
export function adviceFor(error: unknown): string | undefined {
  const state = sqlStateOf(error);
  if (state === undefined) return undefined;
  if (/^(08|57P)/.test(state)) {
    return "the connection was lost and the server rolled back: run it again";
  }
  return BY_STATE[state];
}
