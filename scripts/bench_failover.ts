/**
 * Takes the server away that a ledger is on, under load, and counts what its
 * successor does not know: `deno task bench:failover --help`.
 *
 * @module
 */
import { BenchCommand } from "./bench/command.ts";
import type { Toll } from "./bench/failover.ts";
import { type PostgresTrial, tryPostgres } from "./bench/postgres_failover.ts";
import { type RedisTrial, tryRedis } from "./bench/redis_failover.ts";
import type { BenchRow } from "./bench/row.ts";

const APPEND_ALWAYS = { appendonly: "yes", appendfsync: "always" };
const APPEND_EVERY_SECOND = { appendonly: "yes", appendfsync: "everysec" };
const MIN_REPLICAS = {
  "min-replicas-to-write": "1",
  "min-replicas-max-lag": "1",
};
// A connection does nothing else while it waits.
const WAIT = { wait: true, clients: 16 };

// The replica is as far away as another place in the region.
const LAG = { wait: false, lagMs: 20 };
const REDIS: Record<string, Omit<RedisTrial, "client">> = {
  "crash; as installed": { blow: "crash", ...LAG },
  "crash; appendfsync always": {
    blow: "crash",
    ...LAG,
    settings: APPEND_ALWAYS,
  },
  "crash; min-replicas-to-write 1": {
    blow: "crash",
    ...LAG,
    settings: MIN_REPLICAS,
  },
  "crash; WAIT 1": { blow: "crash", ...LAG, ...WAIT },
  "freeze; as installed": { blow: "freeze", ...LAG },
  "freeze; min-replicas-to-write 1": {
    blow: "freeze",
    ...LAG,
    settings: MIN_REPLICAS,
  },
  "freeze; WAIT 1": { blow: "freeze", ...LAG, ...WAIT },
  "restart; as installed": { blow: "restart", ...LAG },
  "restart; WAIT 1": { blow: "restart", ...LAG, ...WAIT },
  "restart; appendfsync everysec": {
    blow: "restart",
    ...LAG,
    settings: APPEND_EVERY_SECOND,
  },
  "restart; appendfsync always": {
    blow: "restart",
    ...LAG,
    settings: APPEND_ALWAYS,
  },
};
const POSTGRES: Record<string, PostgresTrial> = {
  "crash; asynchronous standby": { synchronous: false, lagMs: 20 },
  "crash; synchronous standby": { synchronous: true, lagMs: 20 },
};
const CLIENTS = ["redis", "ioredis"] as const;

const command = new BenchCommand(
  "bench:failover",
  "Takes the server away that a ledger is on, under load, and counts what its\nsuccessor does not know.",
);
const { json, quick } = command;
command.needs("postgres", "redis");

const rows: [string, Toll][] = [];
for (const [name, trial] of Object.entries(POSTGRES)) {
  rows.push([`postgres: ${name}`, await tryPostgres(trial)]);
  if (!json) console.error(`postgres: ${name}`);
}
for (const [name, trial] of Object.entries(REDIS)) {
  for (const client of quick ? CLIENTS.slice(0, 1) : CLIENTS) {
    rows.push([`${client}: ${name}`, await tryRedis({ client, ...trial })]);
    if (!json) console.error(`${client}: ${name}`);
  }
}

if (json) command.print(rows.flatMap(benchRows));
else {
  command.printAs(
    rows,
    ["trial", "told", "lost", "ran", "forgotten", "held", "answers/s"],
    ([name, toll]) => [
      name,
      toll.told,
      toll.lostAnswers,
      toll.ran,
      toll.forgotten,
      toll.held,
      toll.rate,
    ],
  );
}

function benchRows([name, toll]: [string, Toll]): BenchRow[] {
  return [
    {
      name: `${name}: told answers that are lost`,
      value: toll.lostAnswers,
      unit: "answers",
      baseline: toll.told,
      ratio: toll.lostAnswers / toll.told,
    },
    {
      name: `${name}: runs that are forgotten`,
      value: toll.forgotten,
      unit: "runs",
      baseline: toll.ran,
      ratio: toll.forgotten / toll.ran,
    },
  ];
}
