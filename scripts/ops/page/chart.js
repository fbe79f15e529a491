import { count, svg } from "./elements.js";
import { address } from "./view.js";

const HEIGHT = 240;
const LEFT = 48;
const LABEL = 130;
const BOTTOM = 24;
const TOP = 10;

const SERIES = [
  ["executions", "answered", (hour) => hour.executions - hour.failures],
  ["failures", "without an answer", (hour) => hour.failures],
  ["replays", "replays", (hour) => hour.replays],
];

const time = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat("en", { weekday: "short" });

/**
 * A bar an hour, in which executions, failures and replays are stacked.
 *
 * @param {object[]} hours
 * @param {number} width In pixels: text keeps its size.
 */
export function hourlyChart(hours, width) {
  const most = Math.max(...hours.map((hour) => hour.executions + hour.replays));
  const top = roundUp(most);
  const plot = HEIGHT - TOP - BOTTOM;
  const height = (number) => top === 0 ? 0 : number / top * plot;
  const step = (width - LEFT) / hours.length;
  const labelEvery = 8 * Math.ceil(LABEL / (8 * step));
  const lines = [0, 0.5, 1].map((share) => {
    const y = HEIGHT - BOTTOM - share * plot;
    return svg(
      "g",
      {},
      svg("line", { x1: LEFT, x2: width, y1: y, y2: y, class: "line" }),
      svg(
        "text",
        { x: LEFT - 8, y: y + 4, class: "tick", "text-anchor": "end" },
        short(share * top),
      ),
    );
  });
  const bars = hours.map((hour, index) => {
    const x = LEFT + index * step;
    let y = HEIGHT - BOTTOM;
    const parts = SERIES.map(([name, , number]) => {
      const part = height(number(hour));
      y -= part;
      return svg("rect", {
        class: name,
        x: x + 0.5,
        y,
        width: step - 1,
        height: part,
      });
    });
    return svg(
      "a",
      {
        class: "hour",
        href: address({ hour: hour.hour, find: null }),
        // The table below leads there too, one hour after the other.
        tabindex: "-1",
      },
      svg("title", {}, describe(hour)),
      svg("rect", {
        class: "reach",
        x,
        y: TOP,
        width: step,
        height: plot,
      }),
      ...parts,
      index % labelEvery === 0
        ? svg(
          "text",
          { x: x + 1, y: HEIGHT - 6, class: "tick" },
          label(hour.hour),
        )
        : null,
    );
  });
  return svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "img",
      "aria-label": summarise(hours),
    },
    ...lines,
    ...bars,
  );
}

/** What the colours of the chart mean. */
export const LEGEND = SERIES.map(([name, label]) => [name, label]);

function describe(hour) {
  return `${label(hour.hour)}: ${count(hour.executions)} executions, ${
    count(hour.failures)
  } without an answer, ${count(hour.replays)} replays`;
}

function summarise(hours) {
  const sum = (name) => hours.reduce((total, hour) => total + hour[name], 0);
  return `In ${hours.length} hours ${count(sum("executions"))} executions, ${
    count(sum("failures"))
  } of them without an answer, and ${
    count(sum("replays"))
  } replays. The table below has each hour.`;
}

/** An hour as "Sun 14:00", in the reader's time zone. */
export function label(text) {
  const moment = new Date(text);
  return `${day.format(moment)} ${time.format(moment)}`;
}

function roundUp(number) {
  if (number === 0) return 0;
  const power = 10 ** Math.floor(Math.log10(number));
  const factor = [1, 2, 4, 5, 10].find((n) => n * power >= number);
  return Math.max(2, factor * power);
}

function short(number) {
  if (number >= 1e6) return `${number / 1e6} M`;
  return number >= 1e4 ? `${number / 1e3} k` : count(number);
}
