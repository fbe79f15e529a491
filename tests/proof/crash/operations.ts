import postgres from "postgres";
import type { Attempt } from "../../../shared/idempotency/attempt.ts";
import { claim } from "../../../shared/idempotency/claim.ts";
import {
  type IdempotencyConfig,
  resolveConfig,
} from "../../../shared/idempotency/config.ts";
import { LeaseLostError } from "../../../shared/idempotency/errors.ts";
import type { Answer, Identity } from "../../../shared/idempotency/ledger.ts";
import { postgresLedger } from "../../../shared/idempotency/postgres_ledger.ts";

/**
 * Four ways to have an effect, by what may be claimed of it when the process is
 * killed at any moment:
 *
 * - `transaction`: claim, effect and completion commit together. Exactly once.
 * - `steps`: the effect is a provider's, which is handed the step's derived key
 *   and deduplicates by it. It may be called again until the step is kept, and
 *   does it exactly once.
 * - `refuse`: an effect that nothing deduplicates, on a route that does not
 *   guess. At most once; a key whose outcome is unknown waits for an operator.
 * - `retry`: the same on a route that retries. Once an attempt: an attempt that
 *   was killed, or lost its lease, between effect and completion is repeated.
 *   No more than that can be claimed of such an effect.
 */
export const MODES = ["transaction", "steps", "refuse", "retry"] as const;

/** See {@link MODES}. */
export type Mode = typeof MODES[number];

/** The tables in which effects leave their traces. */
export const TABLES = `
create table public.crash_effects (
  mode text not null, key text not null, attempt integer not null
);
create table public.crash_provider_jobs (
  id bigint generated always as identity primary key,
  provider_key text not null unique,
  key text not null,
  calls integer not null default 1
);
create table public.crash_finished_steps (
  key text not null, attempt integer not null
);`;

/** The shortest there is: a killed worker's keys are free a second later. */
export const LEASE_SECONDS = 1;

const FINGERPRINT = "a".repeat(64);

/** What makes an operation slower by a moment, for kills to fall into. */
export type Pause = () => Promise<void>;

/** The identity of the key that a mode uses. */
export function identityOf(mode: Mode, key: string): Identity {
  return { userId: null, scope: mode, key };
}

/**
 * Performs the operation of a key, or has it replayed.
 *
 * @returns The body of the answer, or `null` when it was not recorded.
 * @throws {IdempotencyError} When the key is somebody else's just now.
 */
export async function operate(
  sql: postgres.Sql,
  mode: Mode,
  key: string,
  pause: Pause,
): Promise<string | null> {
  return mode === "transaction"
    ? await inOneTransaction(sql, key, pause)
    : await inOneRun(sql, mode, key, pause);
}

async function inOneTransaction(
  sql: postgres.Sql,
  key: string,
  pause: Pause,
): Promise<string | null> {
  const body = await sql.begin(async (transaction) => {
    const ledger = postgresLedger(transaction);
    const identity = identityOf("transaction", key);
    const ownerToken = crypto.randomUUID();
    const claimed = await ledger.claim(identity, {
      fingerprint: FINGERPRINT,
      ownerToken,
      leaseSeconds: 60,
      ttlSeconds: 3600,
      onAbandoned: "retry",
      maxAttempts: 100,
      metadata: null,
    });
    if (claimed.outcome === "replay") return textOf(claimed.answer);
    if (claimed.outcome !== "claimed") return null;
    await pause();
    await transaction`insert into crash_effects
      values ('transaction', ${key}, ${claimed.attempt})`;
    await pause();
    const answer = answerOf(`${key} by ${ownerToken}`);
    const completed = await ledger.complete(identity, ownerToken, answer, 3600);
    if (completed.outcome !== "recorded") throw new Error(completed.outcome);
    await pause();
    return textOf(answer);
  });
  return body;
}

async function inOneRun(
  sql: postgres.Sql,
  mode: Exclude<Mode, "transaction">,
  key: string,
  pause: Pause,
): Promise<string | null> {
  const options: IdempotencyConfig = {
    leaseSeconds: LEASE_SECONDS,
    ttlSeconds: 3600,
    onAbandoned: mode === "refuse" ? "refuse" : "retry",
    // The same few keys are killed over and over here.
    maxAttempts: 100,
  };
  const begun = await claim(postgresLedger(sql), identityOf(mode, key), {
    fingerprint: FINGERPRINT,
    config: resolveConfig(options),
  });
  if (begun.kind === "answer") return textOf(begun.answer);
  const { attempt } = begun;
  try {
    const said = await takeEffect(sql, attempt, key, mode, pause);
    await pause();
    const answer = answerOf(`${key} ${said} attempt ${attempt.number}`);
    const responded = await attempt.respond(answer);
    return responded.as === "unstored" ? null : textOf(responded.answer);
  } catch (error) {
    // A zombie hears at its next step that somebody else has the key.
    if (!(error instanceof LeaseLostError)) throw error;
    const recorded = await attempt.fail(error);
    return recorded === null ? null : textOf(recorded);
  }
}

async function takeEffect(
  sql: postgres.Sql,
  { number: attempt, step }: Attempt,
  key: string,
  mode: Mode,
  pause: Pause,
): Promise<string> {
  await pause();
  if (mode !== "steps") {
    await sql`insert into crash_effects values (${mode}, ${key}, ${attempt})`;
    return "by";
  }
  const job = await step("train", async ({ idempotencyKey }) => {
    // An earlier attempt knew the step to be kept, so this one had to be told.
    await sql`
      insert into crash_effects select 'step again', ${key}, ${attempt}
      where exists (
        select from crash_finished_steps as f
        where f.key = ${key} and f.attempt < ${attempt}
      )`;
    const id = await callProvider(sql, idempotencyKey, key);
    await pause();
    return id;
  });
  await sql`insert into crash_finished_steps values (${key}, ${attempt})`;
  return `job ${job} by`;
}

/** A provider that is out of this process, and deduplicates as they do. */
async function callProvider(
  sql: postgres.Sql,
  providerKey: string,
  key: string,
): Promise<number> {
  const [job] = await sql<{ id: string }[]>`
    insert into crash_provider_jobs (provider_key, key)
    values (${providerKey}, ${key})
    on conflict (provider_key) do update set calls = crash_provider_jobs.calls + 1
    returning id`;
  return Number(job!.id);
}

/** An answer as a handler would give it. */
export function answerOf(text: string): Answer {
  return { status: 200, headers: {}, body: new TextEncoder().encode(text) };
}

function textOf({ body }: Answer): string {
  return new TextDecoder().decode(body ?? new Uint8Array());
}
