import { hourlyChart, label, LEGEND } from "./chart.js";
import {
  ago,
  at,
  byId,
  bytes,
  count,
  duration,
  element,
  fillTable,
  percent,
} from "./elements.js";

/** Shows everything but the stuck keys. */
export function showFigures(statistics) {
  const { total, scopes, hours, upkeep, jobs } = statistics;
  showAge(statistics);
  showTiles(total, upkeep);
  showChart(hours);
  fillTable(
    byId("hours"),
    ["Hour", "Executions", "Without an answer", "Replays"],
    hours.toReversed().map((hour) => [
      label(hour.hour),
      count(hour.executions),
      count(hour.failures),
      count(hour.replays),
    ]),
  );
  fillTable(
    byId("scopes"),
    [
      "Scope",
      "At work",
      "Stuck",
      "Completed",
      "Failed",
      "Executions",
      "Failures",
      "Replays",
      "Replay rate",
      "p50",
      "p95",
    ],
    // With one scope, all of them is that one.
    (scopes.length === 1 ? scopes : [...scopes, total]).map((scope) => [
      scope.scope ?? "All",
      count(scope.processing_count - scope.stuck_count),
      count(scope.stuck_count),
      count(scope.completed_count),
      count(scope.failed_count),
      count(scope.execution_count),
      count(scope.failure_count),
      count(scope.replay_count),
      percent(scope.replay_rate),
      duration(scope.duration_p50_ms),
      duration(scope.duration_p95_ms),
    ]),
  );
  showUpkeep(upkeep, jobs);
}

let lastHours = [];

function showChart(hours) {
  lastHours = hours;
  const chart = byId("chart");
  const width = chart.clientWidth;
  if (width > 0) chart.replaceChildren(legend(), hourlyChart(hours, width));
}

/** Draws the chart again where its width has changed. */
export function redrawChart() {
  if (lastHours.length > 0) showChart(lastHours);
}

function showAge({ as_of, behind }) {
  const counted = as_of === null
    ? "Not counted yet"
    : `As of ${ago(as_of)} ago`;
  // A few are always on their way between two looks.
  byId("age").textContent = behind > 10_000
    ? `${counted}; about ${count(behind)} claims still to be counted`
    : counted;
}

function showTiles(total, upkeep) {
  const live = total.processing_count + total.completed_count +
    total.failed_count;
  const tiles = [
    ["Live keys", `≈ ${count(live)}`, `${bytes(upkeep.table_bytes)} on disk`],
    [
      "At work",
      count(total.processing_count - total.stuck_count),
      "with a live lease, now",
    ],
    [
      "Replay rate",
      percent(total.replay_rate) ?? "–",
      `${count(total.replay_count)} replays in 24 h`,
    ],
    [
      "Without an answer",
      percent(
        total.execution_count === 0
          ? null
          : total.failure_count / total.execution_count,
      ) ?? "–",
      `${count(total.failure_count)} of ${
        count(total.execution_count)
      } executions in 24 h`,
    ],
    [
      "Duration",
      `${duration(total.duration_p50_ms) ?? "–"}`,
      `median in 24 h; p95 ${duration(total.duration_p95_ms) ?? "–"}`,
    ],
    [
      "Expired",
      `${upkeep.expired_is_more ? "> " : ""}${count(upkeep.expired_count)}`,
      upkeep.oldest_expired_at === null
        ? "nothing waits for cleanup"
        : `wait for cleanup, the oldest for ${ago(upkeep.oldest_expired_at)}`,
    ],
  ];
  byId("tiles").replaceChildren(
    ...tiles.map(([name, figure, more]) =>
      element(
        "div",
        { class: "tile" },
        element("dt", {}, name),
        element("dd", { class: "figure" }, figure),
        element("dd", { class: "fine" }, more),
      )
    ),
  );
}

function legend() {
  return element(
    "ul",
    { class: "legend", "aria-hidden": "true" },
    ...LEGEND.map(([name, label]) => element("li", { class: name }, label)),
  );
}

function showUpkeep(upkeep, jobs) {
  const { expired_count, expired_is_more, oldest_expired_at } = upkeep;
  byId("backlog").textContent = expired_is_more
    ? `More than ${
      count(expired_count)
    } expired keys wait, which is more than one run removes: cleanup is late.`
    : expired_count === 0
    ? "No expired key waits."
    : `${count(expired_count)} expired keys wait, the oldest for ${
      ago(oldest_expired_at)
    }.`;
  byId("jobs-none").hidden = jobs.length > 0;
  byId("jobs").hidden = jobs.length === 0;
  fillTable(
    byId("jobs"),
    ["Job", "Schedule", "Began", "Took", "Status", "Message"],
    jobs.map((run) => [
      run.job,
      run.active ? run.schedule : `${run.schedule} (not active)`,
      run.started_at === null ? "never" : at(run.started_at),
      run.ended_at === null
        ? null
        : duration(Date.parse(run.ended_at) - Date.parse(run.started_at)),
      run.status,
      run.message,
    ]),
  );
}
