import { startCluster } from "../../../scripts/cluster/postgres.ts";
import { missingPostgres } from "../../../scripts/cluster/postgres_extensions.ts";
import { startStack } from "../../../scripts/stack/stack.ts";
import type { Trial } from "../trial.ts";
import { breakIn } from "./break_in.ts";
import { byPublicKey } from "./public_key.ts";

/** Other users, nobody and forged tokens at everything that a user has. */
export const breakInTrial: Trial = {
  name: "break-in",
  missing: () => missingPostgres([]),
  async run(limits) {
    const { url, close } = await startCluster({ preload: [] });
    try {
      const stack = await startStack({
        port: 0,
        probe: true,
        databaseUrl: url,
      });
      try {
        return [...await breakIn(stack, limits), await byPublicKey()];
      } finally {
        await stack.close();
      }
    } finally {
      await close();
    }
  },
};
