/**
 * A worker to be killed, as `worker.ts`, with ledger and effects in one Redis.
 * Arguments: URL, seed, start of the run in ms since the epoch.
 *
 * @module
 */
import { createClient } from "redis";
import { claim } from "../../../shared/idempotency/claim.ts";
import { resolveConfig } from "../../../shared/idempotency/config.ts";
import {
  IdempotencyError,
  LeaseLostError,
} from "../../../shared/idempotency/errors.ts";
import { redisLedger } from "../../../shared/idempotency/redis_ledger.ts";
import { randomFrom } from "../simulation/random.ts";
import {
  answerOf,
  LEASE_SECONDS,
  type Mode,
  type Pause,
} from "./operations.ts";

/** The ways to have an effect that need no SQL, as in `operations.ts`. */
export const REDIS_MODES = [
  "steps",
  "refuse",
  "retry",
] as const satisfies readonly Mode[];

/** A connected client. */
export type Redis = Awaited<ReturnType<typeof connectRedis>>;

/** Connects as workers do. */
export async function connectRedis(url: string) {
  return await createClient({ url }).connect();
}

/**
 * Performs the operation of a key, or has it replayed. Each effect is written
 * to the list `effects:MODE:KEY`, by the attempt that had it.
 *
 * @returns The body of the answer, or `null` when it was not recorded.
 * @throws {IdempotencyError} When the key is somebody else's just now.
 */
export async function operateOnRedis(
  redis: Redis,
  mode: typeof REDIS_MODES[number],
  key: string,
  pause: Pause,
): Promise<string | null> {
  const ledger = redisLedger((command) => redis.sendCommand(command));
  const begun = await claim(ledger, { userId: null, scope: mode, key }, {
    fingerprint: "a".repeat(64),
    config: resolveConfig({
      leaseSeconds: LEASE_SECONDS,
      ttlSeconds: 3600,
      onAbandoned: mode === "refuse" ? "refuse" : "retry",
      maxAttempts: 100,
    }),
  });
  if (begun.kind === "answer") return textOf(begun.answer.body);
  const { attempt } = begun;
  const effect = () =>
    redis.rPush(`effects:${mode}:${key}`, String(attempt.number));
  try {
    await pause();
    let said: unknown = "by";
    if (mode === "steps") {
      // An effect after a step that was kept would be one too many.
      said = await attempt.step("train", async () => {
        await effect();
        await pause();
        return attempt.number;
      });
      await redis.set(`finished:${key}`, String(said), { NX: true });
    } else {
      await effect();
    }
    await pause();
    const answer = answerOf(`${key} ${said} attempt ${attempt.number}`);
    const { as, answer: given } = await attempt.respond(answer);
    return as === "unstored" ? null : textOf(given.body);
  } catch (error) {
    if (!(error instanceof LeaseLostError)) throw error;
    const recorded = await attempt.fail(error);
    return recorded === null ? null : textOf(recorded.body);
  }
}

function textOf(body: Uint8Array | null): string {
  return new TextDecoder().decode(body ?? new Uint8Array());
}

if (import.meta.main) await work(Deno.args as [string, string, string]);

async function work([url, seed, start]: [string, string, string]) {
  const atOnce = 4;
  const random = randomFrom(Number(seed));
  const redis = await connectRedis(url);
  const pause = () =>
    new Promise<void>((resolve) => setTimeout(resolve, random.below(25)));
  const tell = (line: object) =>
    Deno.stdout.writeSync(
      new TextEncoder().encode(`${JSON.stringify(line)}\n`),
    );
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (;;) {
      const mode = random.pick(REDIS_MODES);
      const newest = Math.floor((Date.now() - Number(start)) / 40);
      const key = `key-${newest + random.below(8)}`;
      try {
        const body = await operateOnRedis(redis, mode, key, pause);
        if (body !== null) tell({ mode, key, body });
      } catch (error) {
        if (!(error instanceof IdempotencyError)) tell({ error: `${error}` });
      }
      await pause();
    }
  }));
}
