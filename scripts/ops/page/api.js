// Asks the server that served the page, which alone holds the project's key.

const STORED = "idempotency-ops-token";
const PATIENCE_MS = 30_000;

/** The server said no, or did not answer. */
class AskError extends Error {
  /** Whether another link is needed, not another try. */
  isAboutTheLink = false;
}

/** What the link proves itself with; it does not stay in the address. */
function token() {
  const said = new URLSearchParams(location.hash.slice(1));
  const given = said.get("token");
  if (given !== null) {
    localStorage.setItem(STORED, given);
    said.delete("token");
    history.replaceState(null, "", `#${said}`);
  }
  return localStorage.getItem(STORED);
}

token();

/**
 * Asks the server.
 *
 * @param {"statistics" | "recent" | "key" | "resolve"} what
 * @param {Record<string, unknown>} about
 * @param {AbortSignal} [signal]
 */
export async function ask(what, about, signal) {
  let response;
  let reply;
  try {
    response = await fetch(`api/${what}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-ops-token": token() ?? "",
      },
      body: JSON.stringify(about),
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.any([
        AbortSignal.timeout(PATIENCE_MS),
        ...(signal ? [signal] : []),
      ]),
    });
    reply = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new AskError(
      error.name === "TimeoutError"
        ? "The server has not answered for 30 seconds."
        : "The server cannot be reached: is the command that printed the link still running?",
    );
  }
  if (response.ok) return reply;
  const error = new AskError(
    response.status === 401
      ? "This link is not of this server, or of an earlier start of it: open the one that the command printed, or /ops of a local stack."
      : reply.detail,
  );
  error.isAboutTheLink = response.status === 401;
  throw error;
}
