// What happened to one key.
import {
  age,
  at,
  byId,
  bytes,
  count,
  duration,
  element,
  facts,
  link,
} from "./elements.js";
import { status } from "./requests.js";
import { resolveButtons } from "./stuck.js";
import { address } from "./view.js";

let shown = "";

/**
 * Tells the story of a key. What has not changed is left alone.
 *
 * @param {{ key: string, scope: string, owner: string }} name
 * @param {object | null} details `null` where the key is not there.
 * @param {(key: object, as: "completed" | "failed") => void} onResolve
 */
export function showStory(name, details, onResolve) {
  const content = JSON.stringify([name, details]);
  if (content === shown && byId("story-content").children.length > 0) return;
  shown = content;
  byId("story-title").replaceChildren(element("code", {}, name.key));
  byId("story-back").href = address({ key: null });
  if (details === null) {
    byId("story-content").replaceChildren(
      element(
        "p",
        {},
        "This key is not there: it was never used in this scope by this user, or cleanup has removed it.",
      ),
    );
    return;
  }
  void tell(details, onResolve);
}

async function tell(key, onResolve) {
  const told = shown;
  const answer = await answerOf(key);
  if (told !== shown) return;
  const { trace, resolved, metadata } = parted(key.metadata ?? {});
  byId("story-content").replaceChildren(
    element("p", {}, status(key), key.is_expired ? " expired" : ""),
    ...(key.is_stuck
      ? [stuck(key), resolveButtons(key, "story", onResolve)]
      : []),
    facts([
      [
        "Scope",
        link(address({ key: null, find: null, scope: key.scope }), key.scope),
      ],
      [
        "User",
        key.owner === "" ? "the project itself" : link(
          address({
            key: null,
            find: null,
            scope: null,
            user: key.owner,
          }),
          key.owner,
        ),
      ],
      ["Trace", trace.traceId],
      ["Correlation", trace.correlationId],
      ["First seen", at(key.created_at)],
      ["Kept until", at(key.expires_at)],
      ["Fence", count(key.fence)],
      ["Fingerprint", `${key.request_fingerprint.slice(0, 16)}…`],
    ]),
    element("h3", {}, "Attempts"),
    attempts(key),
    element("h3", {}, "Steps"),
    steps(key.steps),
    ...(resolved === null ? [] : [
      element("h3", {}, "Resolved by an operator"),
      facts([
        ["As", resolved.resolution],
        ["When", at(resolved.resolved_at)],
        ["Note", resolved.note],
      ]),
    ]),
    element("h3", {}, "Answer"),
    ...answer,
    ...(Object.keys(metadata).length === 0 ? [] : [
      element("h3", {}, "Metadata"),
      pre(JSON.stringify(metadata, null, 2)),
    ]),
  );
}

/**
 * What routes and operators put into metadata, and what is the project's own: it
 * may use the same names for something else.
 */
function parted({ traceId, correlationId, ...own }) {
  const trace = { traceId, correlationId };
  for (const [name, value] of Object.entries(trace)) {
    if (value === undefined || typeof value === "string") continue;
    own[name] = value;
    trace[name] = undefined;
  }
  const { resolution, resolved_at, note, ...metadata } = own;
  const isResolved = ["completed", "failed"].includes(resolution) &&
    !Number.isNaN(Date.parse(resolved_at));
  return isResolved
    ? { trace, resolved: { resolution, resolved_at, note }, metadata }
    : { trace, resolved: null, metadata: own };
}

function stuck(key) {
  return element(
    "p",
    {},
    "The lease lapsed ",
    age(key.lease_expires_at),
    " ago, and nobody has taken over. Whether the attempt took effect is not known.",
  );
}

function attempts(key) {
  const crashed = key.crashed_attempts ?? [];
  const first = crashed[0]?.attempt ?? key.attempt;
  const item = (number, ...children) =>
    element("li", { value: number }, ...children);
  const between = (a, b) => duration(Date.parse(b) - Date.parse(a));
  const last = key.completed_at !== null
    ? `${key.status === "failed" ? "failed" : "answered"} after ${
      between(key.claimed_at, key.completed_at)
    }`
    : key.is_stuck
    ? "was not heard of again"
    : "is at work";
  return element(
    "ol",
    { class: "attempts" },
    first > 1
      ? item(
        first - 1,
        first === 2
          ? "failed, and left the key free"
          : `${
            count(first - 1)
          } attempts before it failed, and left the key free`,
      )
      : null,
    ...crashed.map((attempt) =>
      item(
        attempt.attempt,
        "began ",
        at(attempt.claimed_at),
        `, crashed with ${count(attempt.steps)} ${
          attempt.steps === 1 ? "step" : "steps"
        } done; its lease lapsed `,
        at(attempt.lease_expired_at),
      )
    ),
    item(key.attempt, "began ", at(key.claimed_at), `, ${last}`),
  );
}

function steps(done) {
  const names = Object.keys(done ?? {}).sort();
  return names.length === 0
    ? element("p", { class: "fine" }, "None recorded.")
    : element(
      "dl",
      { class: "steps" },
      ...names.flatMap((name) => [
        element("dt", {}, name),
        element("dd", {}, pre(JSON.stringify(done[name], null, 2))),
      ]),
    );
}

async function answerOf(key) {
  const { status_code, response_headers, response_bytes, error_message } = key;
  const said = [
    ...(error_message === null ? [] : [pre(error_message)]),
    ...(status_code === null ? [] : [facts([
      ["Status", String(status_code)],
      ...Object.entries(response_headers ?? {}),
    ])]),
  ];
  if (status_code === null) {
    return said.length > 0
      ? said
      : [element("p", { class: "fine" }, "None yet.")];
  }
  return [...said, await bodyOf(key, response_bytes)];
}

async function bodyOf(key, size) {
  const plain = (text) => element("p", { class: "fine" }, text);
  if (key.response_encoding === "none") {
    return plain("The body was not kept: retries get 409 with the status.");
  }
  if (key.response === null) {
    return plain(
      `The body is ${bytes(size ?? 0)} long, too long to show here.`,
    );
  }
  if (key.response === "") return plain("The body is empty.");
  try {
    return pre(indented(await decoded(key.response, key.response_encoding)));
  } catch {
    return plain(`The body is ${bytes(size)} of something that is not text.`);
  }
}

async function decoded(text, encoding) {
  if (encoding === "text") return text;
  let stream = new Blob([
    Uint8Array.from(atob(text), (character) => character.charCodeAt(0)),
  ]).stream();
  if (encoding === "gzip") {
    stream = stream.pipeThrough(new DecompressionStream("gzip"));
  }
  return new TextDecoder("utf-8", { fatal: true })
    .decode(await new Response(stream).arrayBuffer());
}

/** JSON for a reader, its numbers as they were written; other text as it is. */
function indented(text) {
  const asWritten = (_, value, { source }) =>
    typeof value === "number" ? JSON.rawJSON(source) : value;
  try {
    return JSON.stringify(JSON.parse(text, asWritten), null, 2);
  } catch {
    return text;
  }
}

function pre(text) {
  return element("pre", { tabindex: "0" }, text);
}
