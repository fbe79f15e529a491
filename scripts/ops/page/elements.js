/**
 * Makes an element.
 *
 * @param {string} name Of the element.
 * @param {Record<string, unknown>} [attributes] Those that are `null` are left
 * out; one that begins with "on" is a listener.
 * @param {...(Node | string | number | null)} children
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** The same, of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, String(value));
  }
  node.append(
    ...children.filter((child) => child !== null).map((child) =>
      typeof child === "number" ? String(child) : child
    ),
  );
  return node;
}

/** A link to somewhere on this page. */
export function link(href, text) {
  return element("a", { href }, text);
}

/** Terms and what they are; those without a value are left out. */
export function facts(pairs) {
  return element(
    "dl",
    { class: "facts" },
    ...pairs.filter(([, value]) => value !== null && value !== undefined).map(
      ([term, value]) =>
        element(
          "div",
          {},
          element("dt", {}, term),
          element("dd", {}, value),
        ),
    ),
  );
}

/** The element with an id, which is there. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Fills a table; the first cell of a row is its heading. The roles are named and
 * each cell has its column's name, because on a phone a row is shown as a card.
 * Whoever is on a link stays on it.
 */
export function fillTable(table, head, rows) {
  table.setAttribute("role", "table");
  const focused = table.contains(document.activeElement)
    ? document.activeElement.getAttribute("href")
    : null;
  const row = (...cells) => element("tr", { role: "row" }, ...cells);
  table.replaceChildren(
    element(
      "thead",
      { role: "rowgroup" },
      row(
        ...head.map((text) =>
          element("th", { scope: "col", role: "columnheader" }, text)
        ),
      ),
    ),
    element(
      "tbody",
      { role: "rowgroup" },
      ...rows.map(([first, ...rest]) =>
        row(
          element("th", { scope: "row", role: "rowheader" }, first),
          ...rest.map((cell, index) =>
            element(
              "td",
              { role: "cell", "data-column": head[index + 1] },
              cell ?? "–",
            )
          ),
        )
      ),
    ),
  );
  if (focused === null) return;
  table.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

const whole = new Intl.NumberFormat("en");

/** 1234567 as "1,234,567". */
export function count(number) {
  return whole.format(number);
}

/** Two digits, as exact as durations are known; none is below 0, whatever clocks did. */
export function duration(given) {
  if (given === null) return null;
  const ms = Math.max(0, given);
  const [number, unit] = ms < 1000 ? [ms, "ms"] : [ms / 1000, "s"];
  return `${whole.format(Number(number.toPrecision(2)))} ${unit}`;
}

/** A share as "12.3 %". */
export function percent(share) {
  return share === null ? null : `${(100 * share).toFixed(1)} %`;
}

/** Bytes as "1.2 GiB". */
export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit++;
  }
  return `${number.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

const moment = new Intl.DateTimeFormat("en", {
  dateStyle: "medium",
  timeStyle: "medium",
});

/** A moment in the reader's time zone. */
export function at(text) {
  return element("time", { datetime: text }, moment.format(new Date(text)));
}

/** How long ago, in what is not shown anew: {@link renewAges} keeps it up. */
export function age(text) {
  return element("span", { "data-since": text }, ago(text));
}

/** Lets each {@link age} say how long ago it is by now. */
export function renewAges() {
  for (const each of document.querySelectorAll("[data-since]")) {
    each.textContent = ago(each.dataset.since);
  }
}

/** How long ago, in words short enough for a list. */
export function ago(text, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - Date.parse(text)) / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
