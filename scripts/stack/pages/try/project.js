// The project that served the page: its key, its Auth and Data APIs, and the user
// that was made for this page, kept over reloads and shared with other tabs.

const NAME = "try:session";
// A token that would lapse on its way is as good as lapsed.
const SPARE_MS = 60_000;

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
class Refused extends Error {
  constructor(status, body) {
    super(
      body.msg ?? body.message ?? body.detail ?? `The server said ${status}.`,
    );
  }
}

/** What a problem is told in, also one of something before the function. */
export function wordsOf({ status, title, detail }) {
  return title === detail
    ? `The server said ${status}: ${title}.`
    : `${title}. ${detail}`;
}

/** The server does not know the user of this page any more. */
export class SessionOver extends Error {
  /** Whose session it was. */
  email = session()?.email;

  constructor() {
    super("The session was over: this is a new user, with a new document.");
  }
}

/**
 * Calls the Data API as the user, past the switches of the page.
 *
 * @throws {SessionOver} When the token is not accepted.
 * @throws {Error} When there is no good answer; the message can be shown.
 */
export async function call(path, { body, headers } = {}) {
  const token = await freshToken();
  return await send(path, {
    body,
    headers: { Authorization: `Bearer ${token}`, ...headers },
  });
}

/** The session, or `null`. */
export function session() {
  return JSON.parse(localStorage.getItem(NAME));
}

/** Makes a user where there is none. */
export async function signIn() {
  if (session() !== null) return;
  const email = `visitor-${crypto.randomUUID().slice(0, 8)}@example.com`;
  keep(
    await send("/auth/v1/signup", {
      body: { email, password: crypto.randomUUID() },
    }),
  );
}

/** Forgets the user. */
export function signOut() {
  localStorage.removeItem(NAME);
}

/** Whether a change of the storage is one of the session. */
export function isSession(storageEvent) {
  return storageEvent.key === NAME;
}

/**
 * A token that is still good, renewed where it has to be.
 *
 * @throws {SessionOver} When it cannot be renewed.
 */
export async function freshToken() {
  // Two tabs that renew at once would use one refresh token twice.
  return usable() ?? await navigator.locks.request(NAME, async () => {
    const token = usable();
    if (token) return token;
    const body = { refresh_token: session()?.refreshToken };
    const path = "/auth/v1/token?grant_type=refresh_token";
    keep(
      await send(path, { body }).catch((error) => {
        throw error instanceof Refused ? new SessionOver() : error;
      }),
    );
    return session().token;
  });
}

function usable() {
  const { token, expiresAt } = session() ?? {};
  return token && Date.now() < expiresAt - SPARE_MS ? token : null;
}

async function send(path, { body, headers }) {
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        apikey: await publishableKey(),
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
  if (response.status === 401 && headers?.Authorization) {
    throw new SessionOver();
  }
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

function keep(answer) {
  localStorage.setItem(
    NAME,
    JSON.stringify({
      email: answer.user.email,
      token: answer.access_token,
      refreshToken: answer.refresh_token,
      expiresAt: answer.expires_at * 1000,
    }),
  );
}
