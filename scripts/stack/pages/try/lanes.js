// Each request as a lane, the latest first, on one clock for both sides; a reload
// does not lose them.

const NAME = "try:lanes";
const MAX_LANES = 40;
// After so long a silence the clock starts anew.
const SILENCE_MS = 1500;
const EVERY_MS = 100;
const NOTHING = { lanes: [], presses: 0, number: 0 };

let kept = JSON.parse(sessionStorage.getItem(NAME)) ?? NOTHING;
let listener = () => {};
let timer;

/** Has a function told of each change, with the kind of the lane. */
export function onLane(listen) {
  listener = listen;
}

/** How often somebody pressed. */
export function presses() {
  return kept.presses;
}

/** Counts a press. */
export function press() {
  keep({ ...kept, presses: kept.presses + 1 });
}

/** Starts over. */
export function clearLanes() {
  keep(NOTHING);
  render();
}

/**
 * Opens a lane.
 *
 * @param {"without" | "with"} side
 * @param {string} text
 * @param {{ kind?: string, key?: string, ms?: number }} [more] Its kind, `busy`,
 * `wait` or `joined`; its key; and how long it will take, where that is known.
 * @returns Its id.
 */
export function openLane(side, text, { kind = "busy", key, ms } = {}) {
  const start = Date.now();
  const number = kept.number + 1;
  const lane = {
    id: number,
    side,
    kind,
    text,
    key,
    start,
    burst: burst(start),
  };
  if (ms !== undefined) lane.end = start + ms;
  keep({ ...kept, number, lanes: [...kept.lanes, lane].slice(-MAX_LANES) });
  render();
  listener(kind);
  return number;
}

/** Ends a lane. */
export function endLane(id, kind, text) {
  change((lane) => lane.id === id, kind, text);
}

/** Ends what has joined a request of a side. */
export function endJoined(side, text) {
  change((lane) => lane.side === side && lane.kind === "joined", "done", text);
}

function change(isMeant, kind, text) {
  const end = Date.now();
  let found = false;
  const lanes = kept.lanes.map((lane) => {
    if (!isMeant(lane) || (lane.end ?? Infinity) < end) return lane;
    found = true;
    return { ...lane, kind, text, end };
  });
  if (!found) return;
  keep({ ...kept, lanes });
  render();
  listener(kind);
}

/** When the clock of a lane that begins now was started. */
function burst(now) {
  const last = kept.lanes.at(-1);
  const isGoingOn = kept.lanes.some(({ end }) =>
    end === undefined || end > now - SILENCE_MS
  );
  return isGoingOn && last ? last.burst : now;
}

function keep(all) {
  kept = all;
  sessionStorage.setItem(NAME, JSON.stringify(all));
}

function render() {
  const now = Date.now();
  const ends = new Map();
  for (const { burst, end = now } of kept.lanes) {
    ends.set(burst, Math.max(ends.get(burst) ?? burst + 1, end));
  }
  for (const side of ["without", "with"]) {
    const list = document.querySelector(`#${side} .lanes`);
    const lanes = kept.lanes.filter((lane) => lane.side === side).reverse();
    const there = new Map(
      [...list.children].map((item) => [Number(item.dataset.id), item]),
    );
    const items = lanes.map((lane) =>
      update(there.get(lane.id) ?? makeItem(lane), lane, now, ends)
    );
    // What stands already is not taken away and put back, or it would be read out.
    if (items.some((item, index) => item !== list.children[index])) {
      list.replaceChildren(...items);
    } else while (list.children.length > items.length) list.lastChild.remove();
  }
  clearTimeout(timer);
  if (kept.lanes.some(({ end }) => end === undefined || end > now)) {
    timer = setTimeout(render, EVERY_MS);
  }
}

function makeItem({ id, key }) {
  const item = document.createElement("li");
  item.dataset.id = id;
  const text = document.createElement("span");
  const track = document.createElement("div");
  track.className = "track";
  track.append(document.createElement("i"));
  item.append(text);
  if (key) {
    const code = document.createElement("code");
    code.textContent = `${key.slice(0, 13)}…`;
    item.append(" ", code);
  }
  item.append(track);
  return item;
}

function update(item, lane, now, ends) {
  const { kind, text, start, burst, end = now } = lane;
  item.dataset.kind = kind;
  const took = lane.end === undefined || kind === "wait"
    ? ""
    : ` ${((end - start) / 1000).toFixed(1)} s`;
  if (item.firstChild.textContent !== text + took) {
    item.firstChild.textContent = text + took;
  }
  const span = ends.get(burst) - burst;
  const { style } = item.querySelector("i");
  // As wide as can be seen, and still inside.
  style.left = `min(${100 * (start - burst) / span}%, 100% - 0.3rem)`;
  style.width = `${100 * (Math.min(end, ends.get(burst)) - start) / span}%`;
  return item;
}

// Whatever was under way was lost with the page.
change(({ end }) => end === undefined, "bad", "page left");
render();
