/**
 * Lets this process live on where postgres.js 3.4.9 writes to a connection that
 * was cut just now. It does so in a timer, where nobody can catch it (its issues
 * 1066, 1154 and 1208): a worker ends of it like of any other crash, and the
 * trials of crashes are about those; a test run is not to.
 *
 * @returns Ends that.
 */
export function surviveLateWrites(): () => void {
  const survive = (event: ErrorEvent) => {
    if (/reading 'write'/.test(event.message)) event.preventDefault();
  };
  globalThis.addEventListener("error", survive);
  return () => globalThis.removeEventListener("error", survive);
}
