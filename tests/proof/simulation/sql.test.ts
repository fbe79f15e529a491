import { assert, assertStringIncludes } from "@std/assert";
import { meet, meetings, type Sessions } from "./interleave.ts";
import { racyMutations } from "./racy_mutations.ts";
import { testSeed } from "../trial.ts";
import { simulate } from "./simulate.ts";
import { sqlMutations, withMutation, wrongSteps } from "./sql_mutations.ts";
import { type SqlSubjects, startSqlSubjects } from "./sql_subject.ts";

// Fewer where it only has to notice that something is broken.
const SECONDS = Number(Deno.env.get("SIMULATED_SECONDS") ?? 4);
// A sixth of what fits where nothing else runs.
const FEWEST_SCHEDULES = 4 * SECONDS;
const MOST_SCHEDULES_TO_NOTICE = 300;

let sql: SqlSubjects;
let sessions: Sessions;

Deno.test.beforeAll(async () => {
  sql = await startSqlSubjects(2);
  const observer = sql.subjects[0]!;
  sessions = { first: sql.connect(), second: sql.connect(), observer };
});
Deno.test.afterAll(async () => await sql[Symbol.asyncDispose]());

Deno.test(`the SQL keeps its promises in as many simulated schedules as fit in ${SECONDS} s`, async () => {
  const { failure, played, tally } = await simulate({
    subjects: sql.subjects,
    firstSeed: testSeed(),
    schedules: FEWEST_SCHEDULES,
    seconds: SECONDS,
  });
  assert(failure === null, failure?.report);
  for (const seen of ["taken_over", "abandoned", "mismatch", "replay"]) {
    assert((tally.get(`claim: ${seen}`) ?? 0) > played / 4, `claim: ${seen}`);
  }
  for (const seen of ["forge: refused", "event: purge", "event: upgrade"]) {
    assert((tally.get(seen) ?? 0) > played / 25, `${seen}: ${tally.get(seen)}`);
  }
});

Deno.test("a failure on SQL is made as short as it can be", async () => {
  const [subject] = sql.subjects;
  const mutation = sqlMutations.find(({ name }) =>
    name === "a lease never lapses"
  );
  const { failure } = await withMutation(
    subject!,
    mutation!,
    () => simulate({ subjects: [subject!], firstSeed: 1, schedules: 100 }),
  );
  const { schedule, report } = failure!;
  assert(schedule.events.length <= 6, report);
  assertStringIncludes(report, "--ledger sql --schedules 1 --seed");
});

Deno.test("wherever two sessions meet at a key, it is as if one had come after the other", async () => {
  const wrong: string[] = [];
  for (const meeting of meetings()) {
    const found = await meet(sessions, meeting);
    if (found !== null) wrong.push(found);
  }
  assert(wrong.length === 0, wrong.join("\n"));
});

for (const mutation of sqlMutations) {
  Deno.test(`the simulation notices SQL in which ${mutation.name}`, async () => {
    const [subject] = sql.subjects;
    const { failure } = await withMutation(
      subject!,
      mutation,
      () =>
        simulate({
          subjects: [subject!],
          firstSeed: 1,
          schedules: MOST_SCHEDULES_TO_NOTICE,
          shrinks: false,
        }),
    );
    assert(failure !== null, "all schedules passed");
  });
}

for (const [what, step] of Object.entries(wrongSteps)) {
  Deno.test(`the simulation notices a step to the next version that ${what}`, async () => {
    const [subject] = sql.subjects;
    subject!.wrongStep = step;
    try {
      const { failure } = await simulate({
        subjects: [subject!],
        firstSeed: 1,
        schedules: MOST_SCHEDULES_TO_NOTICE,
        shrinks: false,
      });
      assert(failure !== null, "all schedules passed");
    } finally {
      subject!.wrongStep = "";
    }
  });
}

for (const mutation of racyMutations) {
  Deno.test(`two sessions that meet notice SQL in which ${mutation.name}`, async () => {
    const noticed = await withMutation(
      sessions.observer,
      mutation,
      async () => {
        for (const meeting of meetings()) {
          if (meeting.state !== mutation.state) continue;
          if (await meet(sessions, meeting) !== null) return true;
        }
        return false;
      },
    );
    assert(noticed, "all meetings passed");
  });
}
