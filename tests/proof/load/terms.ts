import type { IdempotencyConfig } from "../../../shared/idempotency.ts";

/** Of each instance to the database; the crowds that wait are larger. */
export const CONNECTIONS = 4;

/** How long a key is kept at least: longer than anybody goes on asking for it. */
export const TTL_SECONDS = 60;

/** Longer than the lease of such work, so that it has to be renewed. */
export const LONG_WORK_SECONDS = 12;

/** The routes, by how each treats its keys. */
export const ROUTES = {
  quick: { ttlSeconds: TTL_SECONDS },
  failing: { ttlSeconds: TTL_SECONDS },
  steps: { ttlSeconds: TTL_SECONDS },
  crowded: {
    ttlSeconds: TTL_SECONDS,
    onConcurrent: "wait",
    waitSeconds: 60,
  },
  long: { ttlSeconds: TTL_SECONDS, leaseSeconds: 9 },
} satisfies Record<string, IdempotencyConfig>;

/** One of {@link ROUTES}. */
export type Route = keyof typeof ROUTES;
