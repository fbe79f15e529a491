// What the inner Postgres ends with: at close, after initdb, after a failed statement.
const INNER_CODES = [0, 99, 100];

/**
 * Runs `work` on PGlite and takes back the exit code that it leaves in this
 * process: 100 after every statement that failed, though the program may go on to
 * end well, and 0 at close, though the program may have failed.
 */
export async function keepingExitCode<T>(work: () => Promise<T>): Promise<T> {
  const before = Deno.exitCode;
  try {
    return await work();
  } finally {
    // Any other code was set by the program itself meanwhile.
    if (INNER_CODES.includes(Deno.exitCode)) Deno.exitCode = before;
  }
}
