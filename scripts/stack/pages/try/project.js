// The project that served the page: its key, and its Auth and Data APIs.

/** @type {Promise<string> | undefined} */
let asking;

/** The key that every request names the project with. */
export function publishableKey() {
  asking ??= fetch("/project.json").then((response) => response.json())
    .then((project) => project.publishableKey);
  // A lost answer is not to stay lost.
  asking.catch(() => asking = undefined);
  return asking;
}

/** What a request was refused for. */
export class Refused extends Error {
  constructor(status, body) {
    super(
      body.msg ?? body.message ?? body.detail ?? `The server said ${status}.`,
    );
    this.status = status;
    this.code = body.error_code ?? body.code;
  }
}

/** Whoever was signed in is not any more. */
export class SessionOver extends Error {
  constructor() {
    super("Your session is over: sign in again.");
  }
}

/**
 * Calls the Auth or the Data API, past the switches of the page.
 *
 * @throws {Refused} When the answer is no success.
 * @throws {SessionOver} When the token is not accepted.
 * @throws {Error} When there is no answer; the message can be shown.
 */
export async function call(path, { token, body, headers } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        apikey: await publishableKey(),
        ...(token ? { Authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error(
      navigator.onLine
        ? "The local stack does not answer. Is `deno task dev` running?"
        : "You are offline. Try again when the network is back.",
    );
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch {
    // What is no JSON has nothing to say to a person either.
  }
  if (token && response.status === 401) throw new SessionOver();
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}
