import { assert, assertEquals } from "@std/assert";
import { WRONG_STORES } from "../../ledger/wrong_stores.ts";
import { memorySubject } from "./memory_subject.ts";
import { createSchedule } from "./schedule.ts";
import { simulate } from "./simulate.ts";

const SCHEDULES = 20_000;
const MOST_SCHEDULES_TO_NOTICE = 2000;

// What schedules have nothing to do with; the contract shows it.
const UNSEEN = [
  "a batch is answered in another order",
  "a batch records everything as completed",
  "a lapsed attempt is not told from a running one",
  "an expired key still has a status",
  "only UUIDs are users",
  "scope and key are joined with a separator",
];

Deno.test(`the memory ledger keeps its promises in ${SCHEDULES} simulated schedules`, async () => {
  const { failure, tally } = await simulate({
    subjects: [memorySubject()],
    firstSeed: 1,
    schedules: SCHEDULES,
  });
  assert(failure === null, failure?.report);
  // A simulation in which something never happens proves nothing about it.
  for (
    const seen of [
      ...["claimed", "claimed again", "taken_over", "replay", "mismatch"],
      ...["in_progress", "abandoned"],
    ]
  ) {
    assert((tally.get(`claim: ${seen}`) ?? 0) > 1000, `claim: ${seen}`);
  }
  for (const method of ["renew", "checkpoint", "complete", "fail"]) {
    for (const seen of ["recorded", "replay", "lost", "gone"]) {
      const times = tally.get(`${method}: ${seen}`) ?? 0;
      assert(times > 10, `${method}: ${seen} was seen ${times} times`);
    }
  }
});

Deno.test("a seed makes the same schedule each time, and another one another", () => {
  const surroundings = { grain: 10, purges: true, forges: true };
  const first = createSchedule(7, surroundings);
  assertEquals(createSchedule(7, surroundings), first);
  assert(
    JSON.stringify(createSchedule(8, surroundings).events) !==
      JSON.stringify(first.events),
  );
});

Deno.test("a failure names its seed, shows the whole schedule and repeats", async () => {
  const { wrong: broken } = WRONG_STORES["maxAttempts is ignored"]!;
  const run = (firstSeed: number, schedules: number) =>
    simulate({ subjects: [memorySubject(broken)], firstSeed, schedules });
  const { failure } = await run(1, MOST_SCHEDULES_TO_NOTICE);
  const { seed = -1, report = "" } = failure ?? {};
  assert(report.startsWith(`seed ${seed}, event `), report);
  assert(report.includes("all faults end"), report);
  assertEquals((await run(seed, 1)).failure, failure);
});

for (const [name, { wrong }] of Object.entries(WRONG_STORES)) {
  if (UNSEEN.includes(name)) continue;
  Deno.test(`the simulation notices a ledger where ${name}`, async () => {
    const { failure } = await simulate({
      subjects: [memorySubject(wrong)],
      firstSeed: 1,
      schedules: MOST_SCHEDULES_TO_NOTICE,
    });
    assert(failure !== null, "all schedules passed");
  });
}
