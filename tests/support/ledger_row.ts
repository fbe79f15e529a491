import type { Stack } from "../../scripts/stack/stack.ts";

/** Ends the lease of a key now, as when its worker went silent. */
export async function letLeaseLapse(
  { sql }: Pick<Stack, "sql">,
  key: string,
): Promise<void> {
  await sql(
    `update public.idempotency_keys
     set lease_expires_at = now() - interval '1 second'
     where idempotency_key = $1`,
    [key],
  );
}

/**
 * Takes the recorded answer of a key away and ends its lease: what a worker
 * leaves that dies after its effect and before its answer is recorded.
 */
export async function loseAnswer(
  { sql }: Pick<Stack, "sql">,
  key: string,
): Promise<void> {
  await sql(
    `update public.idempotency_keys set
       status = 'processing', completed_at = null, status_code = null,
       response = null, response_encoding = null, response_headers = null,
       lease_expires_at = now() - interval '1 second'
     where idempotency_key = $1`,
    [key],
  );
}
