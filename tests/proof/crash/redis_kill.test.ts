import { assert, assertEquals } from "@std/assert";
import { hasRedis, startRedis } from "../../../scripts/cluster/redis.ts";
import {
  IdempotencyError,
  OutcomeUnknownError,
} from "../../../shared/idempotency/errors.ts";
import { randomFrom } from "../simulation/random.ts";
import { killWorkers } from "./killing.ts";
import {
  connectRedis,
  operateOnRedis,
  type Redis,
  type REDIS_MODES,
} from "./redis_worker.ts";

type RedisMode = typeof REDIS_MODES[number];

// `REDIS_KILLS=200` takes a minute and more.
const KILLS = Number(Deno.env.get("REDIS_KILLS") ?? 6);
const SECONDS = Math.max(3, KILLS);
const MOST_WAIT_MS = 20_000;

Deno.test({
  name:
    "after kills of its workers each effect on Redis is accounted for, and no answer has changed",
  ignore: !hasRedis(),
  async fn() {
    const seed = Number(
      Deno.env.get("CRASH_SEED") ??
        crypto.getRandomValues(new Uint32Array(1))[0],
    );
    await using server = await startRedis();
    const redis = await connectRedis(server.url);
    try {
      const { kills, told, errors } = await killWorkers(
        new URL("./redis_worker.ts", import.meta.url),
        server.url,
        randomFrom(seed),
        { kills: KILLS, seconds: SECONDS },
      );
      console.log(`seed ${seed}: ${kills} kills, ${told.length} answers`);
      assertEquals(errors, [], `seed ${seed}`);
      const lists = (await redis.keys("effects:*")).map((name) => {
        const [, mode, key] = name.split(":") as [string, RedisMode, string];
        return { name, mode, key };
      });
      const answers = new Map<string, string | null>(
        await Promise.all(
          lists.map(async ({ mode, key }) =>
            [`${mode} ${key}`, await answerFor(redis, mode, key)] as const
          ),
        ),
      );
      assert(answers.size > 10, `only ${answers.size} keys`);
      for (const { mode, key, body } of told) {
        assertEquals(
          answers.get(`${mode} ${key}`),
          body,
          `seed ${seed}: the answer of ${mode} ${key} changed`,
        );
      }
      for (const { name, mode, key } of lists) {
        const attempts = await redis.lRange(name, 0, -1);
        const what = `seed ${seed}: ${mode} ${key} took effect in ${attempts}`;
        assertEquals(new Set(attempts).size, attempts.length, what);
        if (mode === "refuse") assertEquals(attempts.length, 1, what);
        const finished = await redis.get(`finished:${key}`);
        if (mode === "steps" && finished !== null) {
          // Whoever knows of a finished step does not repeat it.
          assertEquals(attempts.at(-1), finished, what);
        }
      }
    } finally {
      redis.destroy();
    }
  },
});

/** Asks as a client does, until there is an answer or nobody will know one. */
async function answerFor(
  redis: Redis,
  mode: RedisMode,
  key: string,
): Promise<string | null> {
  const deadline = Date.now() + MOST_WAIT_MS;
  while (Date.now() < deadline) {
    try {
      const body = await operateOnRedis(
        redis,
        mode,
        key,
        () => Promise.resolve(),
      );
      if (body !== null) return body;
    } catch (error) {
      if (error instanceof OutcomeUnknownError) return null;
      if (!(error instanceof IdempotencyError)) throw error;
    }
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`${mode} ${key} was not answerable for ${MOST_WAIT_MS} ms`);
}
