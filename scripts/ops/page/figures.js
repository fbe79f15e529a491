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
  link,
  percent,
} from "./elements.js";
import { address } from "./view.js";

/**
 * Shows what was counted.
 *
 * @param {object} statistics
 * @param {string | null} scope The one that tiles and chart are of; `null` for all.
 */
export function showFigures(statistics, scope) {
  const { total, scopes, chart, upkeep, job_runs, hours } = statistics;
  byId("project").textContent = statistics.project;
  showAge(statistics);
  showTiles(
    scope === null
      ? total
      : scopes.find((each) => each.scope === scope) ?? NOTHING,
    scope === null ? upkeep : null,
    hours,
  );
  showChart(chart);
  fillTable(
    byId("hours-table"),
    ["Hour", "Executions", "Without an answer", "Replays"],
    chart.toReversed().map((each) => [
      link(address({ hour: each.hour, find: null }), label(each.hour)),
      count(each.executions),
      count(each.failures),
      count(each.replays),
    ]),
  );
  showScopes(scopes, total, hours);
  showUpkeep(upkeep, job_runs);
}

const NOTHING = {
  processing_count: 0,
  stuck_count: 0,
  completed_count: 0,
  failed_count: 0,
  execution_count: 0,
  failure_count: 0,
  replay_count: 0,
  replay_rate: null,
  duration_p50_ms: null,
  duration_p95_ms: null,
};

// As many the server tells at most.
const SCOPES = 50;

function showScopes(scopes, total, hours) {
  const busiest = scopes.length < SCOPES
    ? ""
    : ` The ${scopes.length} busiest; “All” counts every one.`;
  byId("scopes-what").textContent =
    `Live keys now; executions, failures, replays and durations of the last ${hours} hours.${busiest}`;
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
    (scopes.length === 1 ? scopes : [...scopes, total]).map((each) => [
      each.scope === null
        ? link(address({ scope: null }), "All")
        : link(address({ scope: each.scope }), each.scope),
      count(each.processing_count - each.stuck_count),
      count(each.stuck_count),
      count(each.completed_count),
      count(each.failed_count),
      count(each.execution_count),
      count(each.failure_count),
      count(each.replay_count),
      percent(each.replay_rate),
      duration(each.duration_p50_ms),
      duration(each.duration_p95_ms),
    ]),
  );
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

function showTiles(total, upkeep, hours) {
  const live = total.processing_count + total.completed_count +
    total.failed_count;
  const tiles = [
    [
      "Live keys",
      `≈ ${count(live)}`,
      upkeep === null
        ? "completed, failed or at work"
        : `${bytes(upkeep.table_bytes)} on disk`,
    ],
    [
      "At work",
      count(total.processing_count - total.stuck_count),
      "with a live lease, now",
    ],
    [
      "Replay rate",
      percent(total.replay_rate) ?? "–",
      `${count(total.replay_count)} replays in ${hours} h`,
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
      } executions in ${hours} h`,
    ],
    [
      "Duration",
      `${duration(total.duration_p50_ms) ?? "–"}`,
      `median in ${hours} h; p95 ${duration(total.duration_p95_ms) ?? "–"}`,
    ],
    ...upkeep === null ? [] : [[
      "Expired",
      `${upkeep.expired_is_more ? "> " : ""}${count(upkeep.expired_count)}`,
      upkeep.oldest_expired_at === null
        ? "nothing waits for cleanup"
        : `wait for cleanup, the oldest for ${ago(upkeep.oldest_expired_at)}`,
    ]],
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
      run.schedule === null
        ? "not scheduled"
        : run.active
        ? run.schedule
        : `${run.schedule} (not active)`,
      run.started_at === null ? "never" : at(run.started_at),
      run.ended_at === null
        ? null
        : duration(Date.parse(run.ended_at) - Date.parse(run.started_at)),
      run.status,
      run.message,
    ]),
  );
}
