import { age, at, byId, count, element, facts, link } from "./elements.js";
import { address } from "./view.js";

let shown = "";

/**
 * Shows the keys that wait for an operator. What has not changed is left alone,
 * so that nobody loses the button they are on.
 *
 * @param {object[]} keys At most 100.
 * @param {number} total How many there are.
 * @param {(key: object, as: "completed" | "failed") => void} onResolve
 */
export function showStuckKeys(keys, total, onResolve) {
  const content = JSON.stringify([keys, total]);
  if (content === shown) return;
  shown = content;
  byId("stuck-title").textContent = total === 0
    ? "Stuck keys"
    : `Stuck keys: ${count(total)}`;
  byId("stuck").classList.toggle("attention", total > 0);
  byId("stuck-none").textContent = total === 0
    ? "None: no attempt was interrupted and left."
    : total > keys.length
    ? `The ${count(keys.length)} that have waited longest.`
    : "The lease of these attempts lapsed before they ended. The next request takes over, unless the route refuses to guess: then say how it ended.";
  const focused = document.activeElement?.id ?? "";
  byId("stuck-list").replaceChildren(
    ...keys.map((key) => item(key, onResolve)),
  );
  if (focused.startsWith("stuck-")) byId(focused)?.focus();
}

/** Two buttons that say how an interrupted attempt ended. */
export function resolveButtons(key, where, onResolve) {
  const { scope, idempotency_key: name } = key;
  const button = (as, text) =>
    element(
      "button",
      {
        type: "button",
        class: "quiet",
        // By what no other key's is: its parts may hold whatever joins them.
        id: `${where}-${JSON.stringify([key.owner, scope, name, as])}`,
        "aria-label": `${text.replace("…", "")}: ${name} in ${scope}`,
        onclick: () => onResolve(key, as),
      },
      text,
    );
  return element(
    "div",
    { class: "row" },
    button("completed", "It took effect…"),
    button("failed", "It did not…"),
  );
}

function item(key, onResolve) {
  const { owner, scope, idempotency_key: name, steps } = key;
  const done = Object.keys(steps ?? {});
  const traceId = key.metadata?.traceId;
  return element(
    "li",
    {},
    element(
      "h3",
      {},
      element(
        "code",
        {},
        link(address({ key: { key: name, scope, owner } }), name),
      ),
      element(
        "span",
        { class: "fine" },
        ` in ${scope}, stuck for `,
        age(key.lease_expires_at),
      ),
    ),
    facts([
      ["User", owner || "the project itself"],
      ["Attempt", count(key.attempt)],
      ["Lapsed", at(key.lease_expires_at)],
      ["Kept until", at(key.expires_at)],
      ["Steps done", done.length === 0 ? "none recorded" : done.join(", ")],
      ["Trace", typeof traceId === "string" ? traceId : null],
    ]),
    resolveButtons(key, "stuck", onResolve),
  );
}
