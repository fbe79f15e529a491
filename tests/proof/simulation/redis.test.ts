import { assert } from "@std/assert";
import {
  hasRedis,
  type Send,
  startRedis,
} from "../../../scripts/cluster/redis.ts";
import { redisSubject } from "./redis_subject.ts";
import { testSeed } from "../trial.ts";
import { simulate } from "./simulate.ts";

const SECONDS = 2;
const FEWEST_SCHEDULES = 50;
const MOST_SCHEDULES_TO_NOTICE = 300;

Deno.test({
  name:
    `the Redis ledger keeps its promises in as many simulated schedules as fit in ${SECONDS} s`,
  ignore: !hasRedis(),
  async fn() {
    await using redis = await startRedis();
    const { failure, tally } = await simulate({
      subjects: [redisSubject(redis)],
      firstSeed: testSeed(),
      schedules: FEWEST_SCHEDULES,
      seconds: SECONDS,
    });
    assert(failure === null, failure?.report);
    for (const seen of ["taken_over", "abandoned", "mismatch", "replay"]) {
      assert((tally.get(`claim: ${seen}`) ?? 0) > 10, `claim: ${seen}`);
    }
  },
});

// What is broken in the scripts, and by which change.
const MUTATIONS: Record<string, readonly [from: string, to: string]> = {
  "a takeover leaves the key to its first owner": [
    "'owner', owner, 'past'",
    "'past'",
  ],
  "any payload fits": ["found[2] ~= fingerprint", "false"],
  "a late renewal shortens the lease": [
    "math.max(tonumber(lease), now + ms)",
    "now + ms",
  ],
  "crashes in a row are not counted": ["(key[4] or 0) + 1", "1"],
  "the last result of a step stays": [
    "'hsetnx', KEYS[1], 'step:'",
    "'hset', KEYS[1], 'step:'",
  ],
};

for (const [name, [from, to]] of Object.entries(MUTATIONS)) {
  Deno.test({
    name: `the simulation notices scripts in which ${name}`,
    ignore: !hasRedis(),
    async fn() {
      await using redis = await startRedis();
      const scripts = new Map<string, string>();
      let asked = "";
      let isBroken = false;
      const send: Send = (command) => {
        const [name, script = "", ...rest] = command;
        if (name === "EVALSHA") asked = script;
        // The clock is moved by a script that is none of the ledger's.
        if (name === "EVAL" && !scripts.has(asked)) {
          isBroken ||= script.includes(from);
          scripts.set(asked, script.replaceAll(from, to));
        }
        // By its text, so that no call is sent twice and overtaken.
        const known = scripts.get(asked);
        return name === "EVALSHA" && known !== undefined
          ? redis.send(["EVAL", known, ...rest])
          : redis.send(command);
      };
      const { failure } = await simulate({
        subjects: [redisSubject({ send })],
        firstSeed: 1,
        schedules: MOST_SCHEDULES_TO_NOTICE,
        shrinks: false,
      });
      assert(isBroken, "no script has what was to be broken");
      assert(failure !== null, "all schedules passed");
    },
  });
}
