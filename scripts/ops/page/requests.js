// The list of requests, the latest first.
import { ask } from "./api.js";
import {
  at,
  byId,
  count,
  duration,
  element,
  fillTable,
  link,
} from "./elements.js";
import { label } from "./chart.js";
import { address, view } from "./view.js";

const A_PAGE = 20;
// One call looks at this many keys at most.
const A_LOOK = 10_000;
// Looks until somebody is asked whether to go on.
const LOOKS = 100;

let keys = [];
let below = null;
let looked = 0;
let looking = new AbortController();
let pages = 0;
// What comes then is put to what is shown.
let isLooking = false;

/** Starts the list anew, for what the address says. */
export function loadRequests() {
  keys = [];
  below = null;
  looked = 0;
  pages = 0;
  showWhat();
  void lookFurther();
}

/** Looks again, unless that would take away what somebody has looked for. */
export async function refreshRequests() {
  const { find } = view();
  if (isLooking || pages !== 1 || looked > A_LOOK || find !== null) return;
  const { signal } = looking;
  try {
    const list = await ask("recent", query(null, A_PAGE), signal);
    if (signal.aborted || pages !== 1) return;
    keys = list.keys;
    below = list.below;
    show();
    showEnd();
  } catch {
    // The look at the figures says so.
  }
}

function query(from, limit) {
  const { scope, status, find, user, hour, hours } = view();
  const start = hour === null
    ? Date.now() - hours * 3_600_000
    : Date.parse(hour);
  return {
    ...(scope === null ? {} : { scope }),
    ...(status === null ? {} : { status }),
    ...(user === null ? {} : { owner: user }),
    // A key is looked for as far back as there are any.
    ...(find === null
      ? { from: new Date(start).toISOString() }
      : { key: find }),
    ...(hour === null
      ? {}
      : { until: new Date(start + 3_600_000).toISOString() }),
    ...(from === null ? {} : { below: from }),
    limit,
  };
}

async function lookFurther() {
  looking.abort();
  looking = new AbortController();
  const { signal } = looking;
  pages++;
  isLooking = true;
  const wanted = keys.length + A_PAGE;
  byId("more").hidden = true;
  try {
    for (let looks = 0; looks < LOOKS; looks++) {
      if (looks > 0) {
        byId("stop").hidden = false;
        byId("requests-end").textContent = `Looked at ${
          count(looked)
        } keys so far …`;
      }
      const limit = wanted - keys.length;
      const list = await ask("recent", query(below, limit), signal);
      if (signal.aborted) return;
      keys = [...keys, ...list.keys];
      below = list.below;
      looked += A_LOOK;
      show();
      if (below === null || keys.length >= wanted) break;
    }
  } catch (error) {
    if (signal.aborted) return;
    byId("requests-end").textContent = error.message;
    byId("more").hidden = false;
    byId("more").textContent = "Try again";
    return;
  } finally {
    if (looking.signal === signal) {
      isLooking = false;
      byId("stop").hidden = true;
    }
  }
  showEnd();
}

function showWhat() {
  const { scope, find, user, hour, hours } = view();
  const parts = [
    find === null ? null : `with the key ${find}`,
    scope === null ? null : `in ${scope}`,
    user === null ? null : `of user ${user}`,
    find !== null
      ? null
      : hour === null
      ? `of the last ${hours} hours`
      : `of ${label(hour)}, one hour`,
  ].filter((part) => part !== null);
  const isNarrow = [find, scope, user, hour].some((part) => part !== null);
  byId("requests-what").replaceChildren(
    `Requests ${parts.join(" ")}, the latest first. `,
    isNarrow
      ? element("a", {
        href: address({ find: null, scope: null, user: null, hour: null }),
      }, "Show all")
      : "",
  );
}

function show() {
  fillTable(
    byId("requests-table"),
    ["Key", "Scope", "User", "Status", "Attempt", "Began", "Took"],
    keys.map((key) => [
      link(
        address({
          key: {
            key: key.idempotency_key,
            scope: key.scope,
            owner: key.owner,
          },
        }),
        key.idempotency_key,
      ),
      key.scope,
      key.owner || "the project",
      element(
        "span",
        {},
        status(key),
        key.error_message === null || key.status !== "failed"
          ? null
          : element("span", { class: "why" }, key.error_message),
      ),
      count(key.attempt),
      at(key.claimed_at),
      key.completed_at === null
        ? null
        : duration(Date.parse(key.completed_at) - Date.parse(key.claimed_at)),
    ]),
  );
  byId("requests-table").hidden = keys.length === 0;
}

function showEnd() {
  byId("requests-end").textContent = keys.length === 0
    ? below === null ? "None." : `None among the ${count(looked)} latest.`
    : below === null
    ? "These are all."
    : "";
  byId("more").hidden = below === null;
  byId("more").textContent = keys.length === 0 ? "Look further back" : "Older";
}

/** How a key stands, in a word, and with its answer. */
export function status(key) {
  const [kind, text] = key.is_stuck
    ? ["stuck", "stuck"]
    : key.status === "processing"
    ? ["running", "running"]
    : key.status === "failed"
    ? ["failed", `failed${key.status_code ? ` ${key.status_code}` : ""}`]
    : ["completed", `completed ${key.status_code}`];
  return element("span", { class: `status ${kind}` }, text);
}

byId("more").addEventListener("click", () => void lookFurther());
byId("stop").addEventListener("click", () => {
  looking.abort();
  showEnd();
  byId("more").hidden = false;
  byId("more").textContent = "Look further back";
});
