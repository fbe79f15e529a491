// Who is signed in, kept over reloads and shared with other tabs.
import { call, Refused, SessionOver } from "./project.js";

const NAME = "try:session";
// A token that would lapse on its way is as good as lapsed.
const SPARE_MS = 60_000;

const MESSAGES = {
  invalid_credentials:
    "E-mail and password do not match. New here? Press “Create account”.",
  user_already_exists:
    "This address has an account already. Press “Sign in” with its password.",
  validation_failed: "This is not an e-mail address, such as ada@example.com.",
};

/** The session, or `null`. */
export function session() {
  return JSON.parse(localStorage.getItem(NAME));
}

/** @throws {Refused} With a message to show, and `field` to show it next to. */
export async function signIn(credentials) {
  await start("/auth/v1/token?grant_type=password", credentials);
}

/** @throws {Refused} With a message to show, and `field` to show it next to. */
export async function signUp(credentials) {
  await start("/auth/v1/signup", credentials);
}

/** Forgets who was signed in. */
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
  const { token, expiresAt } = session() ?? {};
  if (token && Date.now() < expiresAt - SPARE_MS) return token;
  return await renew();
}

async function renew() {
  // Two tabs that renew at once would use one refresh token twice.
  return await navigator.locks.request(NAME, async () => {
    const { token, expiresAt, refreshToken } = session() ?? {};
    if (token && Date.now() < expiresAt - SPARE_MS) return token;
    const body = { refresh_token: refreshToken };
    const renewing = call("/auth/v1/token?grant_type=refresh_token", { body });
    keep(
      await renewing.catch((error) => {
        throw error instanceof Refused ? new SessionOver() : error;
      }),
    );
    return session().token;
  });
}

async function start(path, body) {
  try {
    keep(await call(path, { body }));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    error.message = MESSAGES[error.code] ?? error.message;
    error.field = ["invalid_credentials", "weak_password"].includes(error.code)
      ? "password"
      : "email";
    throw error;
  }
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
