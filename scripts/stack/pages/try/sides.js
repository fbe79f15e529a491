// The two sides: the same request over the same network, without protection and
// with it.
import { currentDocument, noteDocument } from "./document.js";
import { badFetch } from "../network.js";
import { endJoined, endLane, openLane } from "./lanes.js";
import { freshToken, publishableKey, SessionOver } from "./project.js";

// Bundled by the server from shared/client.ts; not a file that tools could follow.
const CLIENT = "/client.js";
const { createIdempotentFetch, problemOf } = await import(CLIENT);

const UNPROTECTED = "/functions/v1/process-document-unprotected";
const PROTECTED = "/functions/v1/process-document";

const idempotentFetch = createIdempotentFetch({
  match: ({ url }) => new URL(url).pathname === PROTECTED,
  fetch: badFetch,
  onAttempt: showEvent,
});

/** Sends the request as most pages do: once, and whoever waits presses again. */
export async function sendWithout() {
  const request = await requestFor(currentDocument().without);
  const lane = openLane("without", "sent");
  try {
    const response = await badFetch(UNPROTECTED, request);
    const { status, ok } = response;
    endLane(lane, ok ? "good" : "bad", ok ? `${status} ran` : String(status));
  } catch (error) {
    endLane(lane, "bad", error.message);
  }
}

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
 * @returns What is wrong, for a person; `null` for nothing.
 */
export async function sendWith() {
  noteDocument({ isOpen: true });
  let mine = currentAttempt();
  let response;
  try {
    response = await (await mine).send();
    if (response.status === 401 && attempt === mine) {
      // The token has lapsed, the attempt has not.
      mine = attempt = makeAttempt((await mine).key);
      response = await (await mine).send();
    }
  } catch (error) {
    endJoined("with", "joined");
    if (!(error instanceof TypeError)) throw error;
    return "No answer yet. The key is kept: press again, or mend the network and it goes on by itself.";
  }
  if (response.status === 401) throw new SessionOver();
  const problem = await problemOf(response);
  if (attempt !== mine) return null;
  if (!problem) noteDocument({ isOpen: false, key: (await mine).key });
  else if (!problem.retryable) noteDocument({ isOpen: false });
  return problem && `${problem.title}. ${problem.detail}`;
}

async function makeAttempt(key) {
  const request = await requestFor(currentDocument().with);
  if (key) request.headers["Idempotency-Key"] = key;
  return await idempotentFetch.attempt(PROTECTED, request);
}

async function requestFor(documentId) {
  return {
    method: "POST",
    headers: {
      "apikey": await publishableKey(),
      "Authorization": `Bearer ${await freshToken()}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ documentId }),
  };
}

let underWay = null;

function showEvent({ type, key, count, status, replayed, error, delayMs }) {
  if (type === "joined") {
    openLane("with", "joined", { kind: "joined" });
  } else if (type === "waiting") {
    openLane("with", waitingFor(delayMs), {
      kind: "wait",
      ms: navigator.onLine ? delayMs : 0,
    });
  } else if (type === "sent") {
    const prefix = count === 1 ? "" : `try\u00a0${count}: `;
    underWay = { prefix, lane: openLane("with", `${prefix}sent`, { key }) };
  } else {
    const { prefix, lane } = underWay;
    const [kind, text] = type === "failed"
      ? ["bad", error.message]
      : status < 400
      ? ["good", `${status} ${replayed ? "replayed" : "first run"}`]
      : ["bad", String(status)];
    endLane(lane, kind, prefix + text);
    if (type === "answered") endJoined("with", "joined");
  }
}

function waitingFor(ms) {
  return navigator.onLine
    ? `again in ${(ms / 1000).toFixed(1)} s`
    : "offline: waits";
}
