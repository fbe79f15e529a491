import configuration from "../../deno.json" with { type: "json" };
import { findPostgres, startCluster } from "../cluster/postgres.ts";
import { hasExtension } from "../cluster/postgres_extensions.ts";
import { emptyCluster, migratedCluster } from "../cluster/supabase_cluster.ts";
import { ROOT } from "../check/check.ts";
import { PACKAGE } from "../cli/release.ts";
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

/**
 * Where examples are that run: the modules, and what is written about them. Those
 * that say which file of a project they are run there: tests/docs/.
 */
async function documented(): Promise<string[]> {
  const files = ["shared", "functions"];
  for (
    const folder of [
      ".",
      "docs",
      "docs/recipes",
      "skills/supabase-idempotency",
    ]
  ) {
    for await (const { name } of Deno.readDir(new URL(`${folder}/`, ROOT))) {
      if (!name.endsWith(".md")) continue;
      const text = await Deno.readTextFile(new URL(`${folder}/${name}`, ROOT));
      if (!/^```ts\n\/\/ supabase\//m.test(text)) {
        files.push(`${folder}/${name}`);
      }
    }
  }
  return files;
}

/**
 * Runs the examples. Those of the documents import the module as a project does,
 * from `../_shared/` or from the package. That it lies in `shared/` here is no
 * matter of deno.json: each function would be deployed with all that its import
 * map names.
 */
async function runExamples(filter: string | undefined): Promise<Outcome> {
  const shared = new URL("shared/", ROOT).href;
  const map = await Deno.makeTempFile({ suffix: ".json" });
  const imports = {
    ...configuration.imports,
    // What deno.json says without saying it: a package brings what is below it.
    ...Object.fromEntries(
      Object.entries(configuration.imports)
        .filter(([, to]) => /^npm:(@[^/]+\/)?[^/]+$/.test(to))
        .map(([name, to]) => [`${name}/`, to.replace("npm:", "npm:/") + "/"]),
    ),
    ...Object.fromEntries(
      Object.entries(configuration.exports).map(([entry, path]) => [
        entry.replace(".", PACKAGE),
        new URL(path, ROOT).href,
      ]),
    ),
    [new URL("_shared/", ROOT).href]: shared,
    [new URL("docs/_shared/", ROOT).href]: shared,
  };
  try {
    await Deno.writeTextFile(map, JSON.stringify({ imports }));
    return await runDenoTest(
      ["--doc", `--import-map=${map}`, ...await documented()],
      filter,
    );
  } finally {
    await Deno.remove(map);
  }
}

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

/** Every part of the test run, the longest first so that the lanes end together. */
export const phases: readonly Phase[] = [
  {
    name: "integration on Postgres",
    postgres: [],
    run: (filter) => onPostgres(`${HTTP}/all.ts`, filter),
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
    // On the embedded database the pages, the recipes and the demo run them.
    name: "examples",
    postgres: [],
    run: (filter) => onPostgres(`${EXAMPLES}/http/all.ts`, filter),
  },
  {
    name: "guides",
    postgres: [],
    run: (filter) => onPostgres(`${GUIDES}/all.ts`, filter),
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
    name: "documentation",
    postgres: null,
    run: (filter) => runDenoTest([`${DOCS}/all.ts`], filter, STARTS_OFTEN),
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
    name: "on other runtimes",
    postgres: [],
    run: (filter) => runDenoTest([RUNTIMES], filter),
  },
  {
    name: "command line",
    postgres: [],
    run: (filter) => runDenoTest([CLI], filter, STARTS_OFTEN),
  },
  {
    name: "consumers",
    postgres: [],
    run: (filter) => runDenoTest([CONSUMERS], filter),
  },
  {
    name: "in a browser",
    postgres: null,
    browser: true,
    run: (filter) => runDenoTest([`${BROWSER}/all.ts`], filter, STARTS_OFTEN),
  },
  {
    name: "local stack",
    postgres: null,
    run: (filter) => runDenoTest([`${STACK}/all.ts`], filter, STARTS_OFTEN),
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
    name: "simulation on SQL",
    postgres: [],
    run: (filter) => runDenoTest([`${SIMULATION}/sql.test.ts`], filter),
  },
  {
    name: "database faults",
    postgres: [],
    run: (filter) => runDenoTest([FAULTS], filter),
  },
  {
    name: "failover",
    postgres: [],
    run: (filter) => runDenoTest([FAILOVER], filter),
  },
  {
    name: "attempts that stall or crash",
    postgres: [],
    run: (filter) => runDenoTest([ATTEMPTS], filter),
  },
  {
    name: "clocks and load",
    postgres: [],
    run: (filter) => runDenoTest([CLOCKS, LOAD], filter),
  },
  {
    name: "kills and outages",
    postgres: [],
    run: (filter) => runDenoTest([CRASH], filter),
  },
  {
    name: "doc examples",
    postgres: null,
    run: runExamples,
  },
  {
    name: "parts",
    postgres: null,
    run: (filter) =>
      runDenoTest([`${PARTS}/all.ts`, `${CLIENT}/all.ts`], filter),
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
];
