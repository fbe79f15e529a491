import type { Stack } from "../../scripts/stack/stack.ts";
import type { IdempotencyConfig } from "../../shared/idempotency.ts";
import type { Actor } from "./stack.ts";

/** A request to the probe. */
export interface ProbeRequest {
  /** The key; without one the header is left out. */
  key?: string;
  /** What the probe is to do; see its schema. */
  body?: Record<string, unknown>;
  /** The configuration of the route, for this request alone. */
  config?: IdempotencyConfig;
  /** Further headers. */
  headers?: Record<string, string>;
  /** @default {"POST"} */
  method?: string;
}

/** Asks the probe as an actor; the body of the answer is left to be read. */
export function probe(
  { apiUrl }: Stack,
  actor: Actor,
  { key, body = {}, config, headers, method = "POST" }: ProbeRequest,
): Promise<Response> {
  return fetch(`${apiUrl}/functions/v1/probe`, {
    method,
    headers: {
      ...actor.headers,
      "Content-Type": "application/json",
      ...(key === undefined ? {} : { "Idempotency-Key": key }),
      ...(config === undefined
        ? {}
        : { "X-Probe-Config": JSON.stringify(config) }),
      ...headers,
    },
    redirect: "manual",
    body: JSON.stringify(body),
  });
}

/** How often the probe ran with this label. */
export async function effects(
  { apiUrl }: Stack,
  label: string,
): Promise<number> {
  const response = await fetch(
    `${apiUrl}/functions/v1/probe?effect=${encodeURIComponent(label)}`,
  );
  return (await response.json()).count;
}

/** A label or key that no other test uses. */
export function unique(prefix: string): string {
  return `${prefix}-${crypto.randomUUID()}`;
}
