/** What a check found wrong, one problem a line; an empty list is a pass. */
export type Problems = readonly string[];

/** One thing that has to hold before a change may land. */
export interface Check {
  /** Short name: what `deno task check NAME` selects. */
  readonly name: string;
  /** Whether it works on a database, and so cannot run without Postgres. */
  readonly needsPostgres: boolean;
  /** Looks, and says what is wrong. */
  readonly run: () => Promise<Problems>;
}

/** Root of the repository, with a trailing slash. */
export const ROOT = new URL("../../", import.meta.url);
