// The server hands these calls to its Data API, which takes no secret key from a
// browser itself.

/** The Data API said no, or did not answer. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, code?: string }} [reason]
   */
  constructor(message, { status = 0, code = "" } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }

  /** Whether another key is needed, not another try. */
  get isAboutTheKey() {
    return this.status === 401 || this.status === 403;
  }
}

const PATIENCE_MS = 20_000;

/**
 * Calls a function of the database with the secret key.
 *
 * @param {string} key The secret key.
 * @param {string} name Of the function.
 * @param {Record<string, unknown>} [parameters]
 */
export async function call(key, name, parameters = {}) {
  let response;
  let text;
  try {
    response = await fetch(`/ops/call/${name}`, {
      method: "POST",
      headers: { apikey: key, "content-type": "application/json" },
      body: JSON.stringify(parameters),
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    text = await response.text();
  } catch (error) {
    throw new ApiError(
      error.name === "TimeoutError"
        ? "The server has not answered for 20 seconds."
        : "The server cannot be reached.",
    );
  }
  const answer = read(text);
  if (response.ok) return answer;
  const { status } = response;
  const { message = `The server answered ${status}.`, code, hint } = answer ??
    {};
  throw new ApiError(hint ? `${message} ${hint}` : message, { status, code });
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// A call counts up to where the one before it began, if that was a tenth of a
// second ago. What is not counted, the others have to look through.
const ENOUGH = 5000;
const PAUSE_MS = 120;

async function refresh(key) {
  const [first] = await call(key, "idempotency_refresh_statistics");
  if (first.as_of !== null && first.behind < ENOUGH) return first;
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  const [second] = await call(key, "idempotency_refresh_statistics");
  return second;
}

/** Counts what is new, then reads all that the page shows. */
export async function readStatistics(key) {
  const refreshed = await refresh(key);
  const [[total, ...scopes], hours, stuck, [upkeep], jobs] = await Promise.all([
    call(key, "idempotency_scope_statistics", { p_hours: 24, p_limit: 50 }),
    call(key, "idempotency_hourly_statistics", { p_hours: 48 }),
    call(key, "idempotency_stuck_keys", { p_limit: 100 }),
    call(key, "idempotency_upkeep"),
    call(key, "idempotency_job_runs", { p_limit: 5 }),
  ]);
  return { ...refreshed, total, scopes, hours, stuck, upkeep, jobs };
}
