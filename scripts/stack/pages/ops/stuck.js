import { ago, at, byId, count, element } from "./elements.js";

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

function item(key, onResolve) {
  const { scope, idempotency_key: name, steps } = key;
  const id = `stuck-${key.owner}-${scope}-${name}`;
  const done = Object.keys(steps ?? {});
  const button = (as, text) =>
    element(
      "button",
      {
        type: "button",
        id: `${id}-${as}`,
        "aria-label": `${text.replace("…", "")}: ${name} in ${scope}`,
        onclick: () => onResolve(key, as),
      },
      text,
    );
  const facts = [
    ["User", key.owner || "the project itself"],
    ["Attempt", count(key.attempt)],
    ["Lapsed", at(key.lease_expires_at)],
    ["Cleaned up", at(key.expires_at)],
    ["Steps done", done.length === 0 ? "none recorded" : done.join(", ")],
    ...(key.metadata ? [["Metadata", JSON.stringify(key.metadata)]] : []),
  ];
  return element(
    "li",
    {},
    element(
      "h3",
      {},
      element("code", {}, name),
      element(
        "span",
        { class: "fine" },
        ` in ${scope}, stuck for ${ago(key.lease_expires_at)}`,
      ),
    ),
    element(
      "dl",
      { class: "facts" },
      ...facts.map(([term, value]) =>
        element(
          "div",
          {},
          element("dt", {}, term),
          element("dd", {}, value),
        )
      ),
    ),
    element(
      "div",
      { class: "row" },
      button("completed", "It took effect…"),
      button("failed", "It did not…"),
    ),
  );
}
