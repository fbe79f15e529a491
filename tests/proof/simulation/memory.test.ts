import { assert, assertEquals } from "@std/assert";
import { WRONG_STORES } from "../../ledger/wrong_stores.ts";
import { impatiently, test } from "./hang.ts";
import { memorySubject } from "./memory_subject.ts";
import { play } from "./play.ts";
import { createSchedule, partOf } from "./schedule.ts";
import { testSeed } from "../trial.ts";
import { simulate } from "./simulate.ts";

const SCHEDULES = 5_000;
const MOST_SCHEDULES_TO_NOTICE = 2000;

// What schedules have nothing to do with; the contract shows it.
const UNSEEN = [
  "a batch is answered in another order",
  "a batch is claimed under the terms of the first one",
  "a batch keeps answers as long as failures",
  "a batch keeps bodies as text",
  "a batch of claims is all there is of batches, and grants everything",
  "a batch of claims knows no users",
  "a batch of settlements knows no scopes",
  "a batch records everything as completed",
  "a lapsed attempt is not told from a running one",
  "a long key is cut",
  "an expired key still has a status",
  "checkpoint() looks first whose the key is, and then writes",
  "only UUIDs are users",
  "renew() looks first whose the key is, and then writes",
  "scope and key are joined with a separator",
  "scope and key are joined with an underscore",
  "spaces at the end of a scope make no difference",
  "the case of the key makes no difference",
  "the case of the scope makes no difference",
  "the case of the userId makes no difference",
  "the project is a user by the name of null",
  "user and scope are joined with a colon",
];

test(`the memory ledger keeps its promises in ${SCHEDULES} simulated schedules`, async () => {
  const { failure, tally } = await simulate({
    subjects: [memorySubject()],
    firstSeed: testSeed(),
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
    assert((tally.get(`claim: ${seen}`) ?? 0) > 500, `claim: ${seen}`);
  }
  for (const event of ["purge", "crashes", "stalls", "waits no longer"]) {
    const times = tally.get(`event: ${event}`) ?? 0;
    assert(times > 1000, `${event} was seen ${times} times`);
  }
  for (const method of ["renew", "checkpoint", "complete", "fail"]) {
    for (const seen of ["recorded", "replay", "lost", "gone"]) {
      const times = tally.get(`${method}: ${seen}`) ?? 0;
      assert(times > 10, `${method}: ${seen} was seen ${times} times`);
    }
  }
});

test("a seed makes the same schedule each time, and another one another", () => {
  const surroundings = {
    grain: 10,
    purges: "now and then",
    forges: true,
    upgrades: true,
  } as const;
  const first = createSchedule(7, surroundings);
  assertEquals(createSchedule(7, surroundings), first);
  assert(
    JSON.stringify(createSchedule(8, surroundings).events) !==
      JSON.stringify(first.events),
  );
});

test("a failure is made as short as it can be, and says how to play it again", async () => {
  const { wrong } = WRONG_STORES["maxAttempts is ignored"]!;
  const subject = memorySubject(wrong);
  const { failure } = await simulate({
    subjects: [subject],
    firstSeed: 1,
    schedules: MOST_SCHEDULES_TO_NOTICE,
  });
  if (failure === null) throw new Error("all schedules passed");
  const { schedule: { seed, numbers }, at, report } = failure;
  assert(report.startsWith(`seed ${seed}, event ${numbers!.at(-1)}: `), report);
  // A claim, its lease runs out in some steps, and a claim too many.
  assert(numbers!.length <= 6, report);
  assertEquals(at, numbers!.length - 1, report);
  assert(
    report.endsWith(
      `--ledger memory --schedules 1 --seed ${seed} --events ${numbers}`,
    ),
    report,
  );

  const whole = createSchedule(seed, subject.surroundings);
  const again = await play(partOf(whole, numbers!), subject);
  assert(again !== null && report.startsWith(again.report), again?.report);
  for (const number of numbers!) {
    const less = partOf(whole, numbers!.filter((other) => other !== number));
    assertEquals(await play(less, subject), null);
  }
});

test("a schedule that hangs is a failure, and says how to play it again", async () => {
  let claims = 0;
  const subject = memorySubject((ledger) => ({
    ...ledger,
    claim: (identity, terms) =>
      ++claims < 3 ? ledger.claim(identity, terms) : new Promise(() => {}),
  }));
  const { failure } = await impatiently(() =>
    simulate({ subjects: [subject], firstSeed: 7, schedules: 1 })
  );
  if (failure === null) throw new Error("all schedules passed");
  const { report } = failure;
  assert(/^seed 7, event \d+: .* it hangs\n/.test(report), report);
  assert(/^>>> .*: claim /m.test(report), report);
  assert(report.endsWith("--schedules 1 --seed 7"), report);
});

for (const [name, { wrong }] of Object.entries(WRONG_STORES)) {
  if (UNSEEN.includes(name)) continue;
  test(`the simulation notices a ledger where ${name}`, async () => {
    const { failure } = await simulate({
      subjects: [memorySubject(wrong)],
      firstSeed: 1,
      schedules: MOST_SCHEDULES_TO_NOTICE,
      shrinks: false,
    });
    assert(failure !== null, "all schedules passed");
  });
}
