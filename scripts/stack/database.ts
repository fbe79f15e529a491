import type { PgliteConnection } from "@supabase/lite/pglite";
import type { PostgresConnection } from "@supabase/lite/postgres";
import type { RunQuery } from "../migrate/history.ts";

export type { RunQuery };

/** What a piece of work may do inside one transaction. */
export interface Transaction {
  query: RunQuery;
  /**
   * Runs a whole SQL file: many statements, no parameters. What it sets for the
   * session, as a dump does, ends with it.
   */
  script(text: string): Promise<void>;
}

/** The database behind the stack, reached as its superuser. */
export interface Database {
  kind: "pglite" | "postgres";
  /**
   * Where what is in it comes from: it was `made` just now and is empty, is a
   * copy of a `template`, or was `kept` from an earlier start or by a server.
   */
  origin: "made" | "template" | "kept";
  /** Whether somebody else made what is in it: it is written to when told only. */
  foreign: boolean;
  /** What lite serves `/auth/v1` and `/rest/v1` from. */
  connection: PgliteConnection | PostgresConnection;
  query: RunQuery;
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /** Runs `work` while no other stack on this database does the same. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** Makes what is in it now the template of later ones; absent on a server. */
  keepAsTemplate?(): Promise<void>;
  close(): Promise<void>;
}
