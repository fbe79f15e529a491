// What happened in this tab, the latest first; a reload does not lose it.

const NAME = "try:timeline";
const MAX_ENTRIES = 100;
const NOTHING = { entries: [], counts: {} };

const list = document.querySelector("#timeline");
let kept = JSON.parse(sessionStorage.getItem(NAME)) ?? NOTHING;
let listener = () => {};

/** Has a function told of each entry. */
export function onTold(listen) {
  listener = listen;
}

/**
 * Adds an entry.
 *
 * @param kind One of `sent`, `joined`, `wait`, `bad`, `good`, `note`.
 */
export function tell(kind, text, key) {
  const entry = { at: Date.now(), kind, text, key };
  keep({ ...kept, entries: [...kept.entries, entry].slice(-MAX_ENTRIES) });
  list.prepend(render(entry));
  while (list.children.length > MAX_ENTRIES) list.lastChild.remove();
  listener(entry);
}

/** Shows what happened before the page was loaded again. */
export function showTimeline() {
  list.replaceChildren(...kept.entries.map(render).reverse());
}

/** Starts over. */
export function clearTimeline() {
  keep(NOTHING);
  showTimeline();
}

/** Counts one more of something. */
export function countUp(name) {
  keep({ ...kept, counts: { ...kept.counts, [name]: count(name) + 1 } });
}

/** How many were counted since the timeline was started over. */
export function count(name) {
  return kept.counts[name] ?? 0;
}

function keep(all) {
  kept = all;
  sessionStorage.setItem(NAME, JSON.stringify(all));
}

/** As much of a key as tells it from others. */
function shortKey(key) {
  return `${key.slice(0, 13)}…`;
}

function render({ at, kind, text, key }) {
  const item = document.createElement("li");
  item.dataset.kind = kind;
  const time = document.createElement("time");
  const date = new Date(at);
  time.dateTime = date.toISOString();
  time.textContent = date.toTimeString().slice(0, 8) +
    `.${String(at % 1000).padStart(3, "0")}`;
  const what = document.createElement("span");
  what.textContent = text;
  item.append(time, what);
  if (key) {
    const code = document.createElement("code");
    code.textContent = shortKey(key);
    what.append(" ", code);
  }
  return item;
}
