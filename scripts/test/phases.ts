import { findPostgres, startCluster } from "../cluster/postgres.ts";
import { hasExtension } from "../cluster/postgres_extensions.ts";
import { emptyCluster, migratedCluster } from "../cluster/supabase_cluster.ts";
import { withExamples } from "../examples.ts";
import { runDenoTest } from "./deno_test.ts";
import { runPgtap } from "./pgtap.ts";
import type { Outcome, Phase } from "./phase.ts";

// A process of its own each: they need other surroundings, or share what they
// load and start.
const CORE = "tests/core";
const PARTS = "tests/parts";
const CLIENT = "tests/client";
const EXAMPLES = "tests/examples";
const HTTP = "tests/http";
const LEDGER = "tests/ledger";
const SIMULATION = "tests/proof/simulation";
const CRASH = "tests/proof/crash";
const FAILOVER = "tests/proof/failover";
const FAULTS = "tests/proof/faults";
const CLOCKS = "tests/proof/clocks";
const LOAD = "tests/proof/load";
const ATTEMPTS = "tests/proof/attempts";
const BREAK_IN = "tests/proof/break_in";
const CLI = "tests/scripts/cli";
const MIGRATE = "tests/scripts/migrate";
const STACK = "tests/scripts/stack";
const BROWSER = "tests/browser";
const RUNTIMES = "tests/runtimes";
const CONSUMERS = "tests/consumers";
const DOCS = "tests/docs";
const GUIDES = "tests/guides";
const APART = [
  CORE,
  PARTS,
  CLIENT,
  EXAMPLES,
  HTTP,
  LEDGER,
  SIMULATION,
  CRASH,
  FAILOVER,
  FAULTS,
  CLOCKS,
  LOAD,
  ATTEMPTS,
  BREAK_IN,
  CLI,
  MIGRATE,
  STACK,
  BROWSER,
  RUNTIMES,
  CONSUMERS,
  DOCS,
  GUIDES,
];

// What depends on how a version of Postgres locks, plans and casts.
const ON_EACH_VERSION = [
  `${LEDGER}/postgres.test.ts`,
  `${LEDGER}/one_key.test.ts`,
  `${LEDGER}/batches.test.ts`,
];

// Optimising the embedded database keeps a core busy for seconds: worth it where
// it serves hundreds of tests, not where a process starts it for a few.
const STARTS_OFTEN = { DENO_V8_FLAGS: "--liftoff-only" };

async function onPostgres(
  tests: string,
  filter: string | undefined,
): Promise<Outcome> {
  const preload = hasExtension("pg_cron") ? ["pg_cron"] : [];
  const { url, close } = await startCluster({ preload });
  try {
    return await runDenoTest([tests], filter, {
      STACK: "postgres",
      DATABASE_URL: url,
    });
  } finally {
    await close();
  }
}

/**
 * Every part of the test run, the longest first so that the lanes end together,
 * and by that those that mostly wait beside those that mostly work.
 */
export const phases: readonly Phase[] = [
  {
    // On the embedded database the pages, the recipes and the demo run them.
    name: "examples",
    postgres: [],
    run: (filter) => onPostgres(`${EXAMPLES}/http/all.ts`, filter),
  },
  {
    name: "in a browser",
    postgres: null,
    browser: true,
    run: (filter) => runDenoTest([`${BROWSER}/all.ts`], filter, STARTS_OFTEN),
  },
  {
    name: "tools",
    postgres: null,
    run: (filter) =>
      runDenoTest(
        [`--ignore=${APART.join(",")}`, "tests"],
        filter,
        STARTS_OFTEN,
      ),
  },
  {
    name: "database faults",
    postgres: [],
    run: (filter) => runDenoTest([FAULTS], filter),
  },
  {
    name: "integration on Postgres",
    postgres: [],
    run: (filter) => onPostgres(`${HTTP}/all.ts`, filter),
  },
  {
    name: "concurrency",
    postgres: [],
    async run(filter) {
      await using cluster = await migratedCluster();
      return await runDenoTest(
        [`${LEDGER}/all.ts`, `${EXAMPLES}/races/all.ts`],
        filter,
        { STACK: "postgres", DATABASE_URL: cluster.url },
      );
    },
  },
  {
    name: "clocks and load",
    postgres: [],
    run: (filter) => runDenoTest([CLOCKS, LOAD], filter),
  },
  {
    name: "migrating",
    postgres: [],
    async run(filter) {
      await using cluster = await emptyCluster();
      return await runDenoTest([MIGRATE], filter, {
        DATABASE_URL: cluster.url,
      });
    },
  },
  {
    name: "command line",
    postgres: [],
    run: (filter) => runDenoTest([CLI], filter, STARTS_OFTEN),
  },
  {
    name: "unit",
    postgres: null,
    run: (filter) =>
      runDenoTest(
        [`${CORE}/all.ts`, `${EXAMPLES}/unit/all.ts`],
        filter,
      ),
  },
  {
    name: "attempts that stall or crash",
    postgres: [],
    run: (filter) => runDenoTest([ATTEMPTS], filter),
  },
  {
    name: "kills and outages",
    postgres: [],
    run: (filter) => runDenoTest([CRASH], filter),
  },
  {
    name: "failover",
    postgres: [],
    run: (filter) => runDenoTest([FAILOVER], filter),
  },
  {
    name: "documentation",
    postgres: null,
    run: (filter) => runDenoTest([`${DOCS}/all.ts`], filter, STARTS_OFTEN),
  },
  {
    name: "on other runtimes",
    postgres: [],
    run: (filter) => runDenoTest([RUNTIMES], filter),
  },
  {
    name: "integration on the embedded database",
    postgres: null,
    run: (filter) =>
      runDenoTest(
        [`${HTTP}/${findPostgres() === null ? "all" : "embedded"}.ts`],
        filter,
        { STACK: "pglite" },
      ),
  },
  {
    name: "local stack",
    postgres: null,
    run: (filter) => runDenoTest([`${STACK}/all.ts`], filter, STARTS_OFTEN),
  },
  {
    name: "parts",
    postgres: null,
    run: (filter) =>
      runDenoTest([`${PARTS}/all.ts`, `${CLIENT}/all.ts`], filter),
  },
  {
    name: "consumers",
    postgres: [],
    run: (filter) => runDenoTest([CONSUMERS], filter),
  },
  {
    name: "simulation on SQL",
    postgres: [],
    run: (filter) => runDenoTest([`${SIMULATION}/sql.test.ts`], filter),
  },
  {
    name: "doc examples",
    postgres: null,
    run: (filter) =>
      withExamples((args) => runDenoTest(["--doc", ...args], filter)),
  },
  ...[17, 18].map((version): Phase => ({
    name: `the ledger on Postgres ${version}`,
    postgres: [],
    async run(filter) {
      await using cluster = await migratedCluster({ version });
      return await runDenoTest(ON_EACH_VERSION, filter, {
        STACK: "postgres",
        DATABASE_URL: cluster.url,
      });
    },
  })),
  {
    name: "simulation in memory and on Redis",
    postgres: null,
    run: (filter) =>
      runDenoTest(
        ["memory", "redis", "workers"].map((name) =>
          `${SIMULATION}/${name}.test.ts`
        ),
        filter,
      ),
  },
  { name: "pgTAP", postgres: ["pg_cron", "pgtap"], run: runPgtap },
  {
    name: "guides",
    postgres: [],
    run: (filter) => onPostgres(`${GUIDES}/all.ts`, filter),
  },
];
