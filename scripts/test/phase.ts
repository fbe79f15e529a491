import type { Extension } from "../cluster/postgres_extensions.ts";

/** What became of a phase's tests. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** Everything the tests printed; shown when one failed. */
  readonly output: string;
}

/** A part of the test run that needs nothing of the other parts. */
export interface Phase {
  readonly name: string;
  /** Extensions of Postgres it needs; `null` when it needs no Postgres. */
  readonly postgres: readonly Extension[] | null;
  /** Whether it needs a browser. @default false */
  readonly browser?: boolean;
  /**
   * Runs the tests.
   *
   * @param filter Part of the names of those to run. @default all
   */
  readonly run: (filter: string | undefined) => Promise<Outcome>;
}

/** Turns an error of the phase itself into an outcome with one failure. */
export async function outcomeOf(
  phase: Phase,
  filter: string | undefined,
): Promise<Outcome> {
  try {
    return await phase.run(filter);
  } catch (error) {
    return { passed: 0, failed: 1, output: Deno.inspect(error) };
  }
}
