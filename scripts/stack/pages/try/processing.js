// One attempt at processing the document in hand, told to the timeline.
import { currentDocument, noteDocument } from "./document.js";
import { badFetch } from "./network.js";
import { publishableKey } from "./project.js";
import { freshToken } from "./session.js";
import { tell } from "./timeline.js";

// Bundled by the server from shared/client.ts; not a file that tools could follow.
const CLIENT = "/client.js";
const { createIdempotentFetch, problemOf } = await import(CLIENT);

const PATH = "/functions/v1/process-document";

const idempotentFetch = createIdempotentFetch({
  match: ({ url }) => new URL(url).pathname === PATH,
  fetch: badFetch,
  onAttempt: tellOf,
});

/** @type {Promise<import("../../../../shared/client.ts").Attempt> | null} */
let attempt = null;

/** The attempt at processing the document in hand: one until `newAttempt()`. */
export function currentAttempt() {
  if (attempt) return attempt;
  // An answered attempt is the page's to keep: the client takes what comes
  // after the answer for something new.
  const made = makeAttempt(currentDocument().key);
  made.catch(() => {
    if (attempt === made) attempt = null;
  });
  return attempt = made;
}

/** Lets go of the attempt; it can be found again. */
export function dropAttempt() {
  attempt = null;
}

/** Gives the attempt up for another one. */
export async function newAttempt() {
  const given = await currentAttempt();
  await given.reset();
  const number = currentDocument().number + 1;
  noteDocument({ isOpen: false, key: null, number });
  attempt = null;
}

/**
 * Sends the attempt, or joins the sending under way.
 *
 * @returns What the answer says is wrong, or `null`.
 * @throws {Error} When no try got an answer, or nobody is signed in.
 */
export async function processDocument() {
  noteDocument({ isOpen: true });
  let mine = currentAttempt();
  let response = await (await mine).send();
  if (response.status === 401 && attempt === mine) {
    // The token has lapsed, the attempt has not.
    mine = attempt = makeAttempt((await mine).key);
    response = await (await mine).send();
  }
  const problem = await problemOf(response);
  if (attempt !== mine) return null;
  if (!problem) noteDocument({ isOpen: false, key: (await mine).key });
  else if (!problem.retryable) noteDocument({ isOpen: false });
  return problem;
}

async function makeAttempt(key) {
  const { id } = currentDocument();
  return await idempotentFetch.attempt(PATH, {
    method: "POST",
    headers: {
      apikey: await publishableKey(),
      Authorization: `Bearer ${await freshToken()}`,
      "Content-Type": "application/json",
      ...(key ? { "Idempotency-Key": key } : {}),
    },
    body: JSON.stringify({ documentId: id }),
  });
}

function tellOf({ type, key, count, status, replayed, error, delayMs }) {
  if (type === "sent") {
    tell("sent", count === 1 ? "Sent" : `Sent again, try\u00a0${count}`, key);
  } else if (type === "joined") {
    tell("joined", "Pressed again: joined");
  } else if (type === "waiting") {
    tell("wait", waitingFor(delayMs));
  } else if (type === "failed") {
    tell("bad", `No answer: ${error.message}`, key);
  } else if (status < 400) {
    tell(
      "good",
      `Answered ${status}, ${replayed ? "replayed" : "first run"}`,
      key,
    );
  } else {
    tell("bad", `Answered ${status}`, key);
  }
}

function waitingFor(ms) {
  return navigator.onLine
    ? `Tries again in ${Math.round(ms)} ms`
    : "Offline: waits for the network";
}
