import { startCluster } from "../../../scripts/cluster/postgres.ts";
import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { migratedCluster } from "../../../scripts/cluster/supabase_cluster.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import type { Trial } from "../trial.ts";
import { compareFingerprints } from "./fingerprints.ts";
import { askForms } from "./forms_target.ts";
import { watchMemory } from "./growth.ts";
import { askStack } from "./stack_target.ts";

/** The forms of the middleware, asked what no client should ask. */
export const formsTrial: Trial = {
  name: "fuzz forms",
  missing: () => null,
  run: askForms,
};

/** JSON against itself, spelt otherwise and changed. */
export const fingerprintsTrial: Trial = {
  name: "fuzz fingerprints",
  missing: () => null,
  run: compareFingerprints,
};

/** Key after key in one isolate, the ledger in its memory. */
export const memoryTrial: Trial = {
  name: "fuzz memory",
  missing: () => null,
  run: watchMemory,
};

/** Odd requests to every route and to the middleware, and what is left of them. */
export const fuzzTrials: readonly Trial[] = [
  {
    name: "fuzz routes",
    missing: () => missingPostgres([]),
    async run(limits) {
      const cluster = await startCluster();
      const stack = await startStack({ port: 0, databaseUrl: cluster.url });
      try {
        return await askStack(stack, limits);
      } finally {
        await stack.close();
        await cluster.close();
      }
    },
  },
  formsTrial,
  fingerprintsTrial,
  memoryTrial,
  {
    name: "fuzz memory on postgres",
    missing: () => missingPostgres([]),
    async run(limits) {
      await using cluster = await migratedCluster();
      return await watchMemory(limits, cluster.url);
    },
  },
];
