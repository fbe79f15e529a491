import { assertEquals, assertRejects } from "@std/assert";
import { recently } from "../../../../functions/health/check_health.ts";
import {
  BACKLOG_LIMIT,
  type DatabaseReport,
  healthOf,
} from "../../../../functions/health/health.ts";

const NOW = new Date("2026-11-22T12:00:00Z");

const WELL: DatabaseReport = {
  schemaVersion: "20261127000100",
  cleanupStatus: "succeeded",
  cleanedUpAt: new Date("2026-11-22T11:07:00Z"),
  expiredKeys: 3,
  stuckKeys: 0,
};

const judge = (change: Partial<DatabaseReport>) =>
  healthOf({ ...WELL, ...change }, { durationMs: 4, now: NOW });

const hoursAgo = (hours: number) => new Date(NOW.getTime() - hours * 3_600_000);

Deno.test("each thing that wants somebody to look makes the whole a warning, and says what to do", () => {
  assertEquals(judge({}).status, "pass");
  for (
    const [change, check] of [
      [{ schemaVersion: null }, "schema:version"],
      [{ cleanupStatus: "failed" }, "cleanup:lastRun"],
      [{ cleanedUpAt: hoursAgo(3.1) }, "cleanup:lastRun"],
      [{ cleanupStatus: "overdue", cleanedUpAt: null }, "cleanup:lastRun"],
      [{ expiredKeys: BACKLOG_LIMIT }, "idempotencyKeys:expired"],
      [{ stuckKeys: 1 }, "idempotencyKeys:stuck"],
    ] as const
  ) {
    const { status, checks } = judge(change);
    assertEquals([status, checks[check]?.status], ["warn", "warn"], check);
    assertEquals(checks[check]?.output === undefined, false);
    const others = Object.entries(checks).filter(([name]) => name !== check);
    for (const [, other] of others) assertEquals(other.status, "pass");
  }
});

Deno.test("what cannot be known, or has had no time to happen, is no warning", () => {
  for (const cleanupStatus of ["unknown", "never"]) {
    const { status, checks } = judge({ cleanupStatus, cleanedUpAt: null });
    assertEquals([status, checks["cleanup:lastRun"]?.observedValue], [
      "pass",
      null,
    ]);
  }
  assertEquals(judge({ cleanedUpAt: hoursAgo(2.9) }).status, "pass");
  assertEquals(judge({ expiredKeys: BACKLOG_LIMIT - 1 }).status, "pass");
});

Deno.test("recently() asks once for all who ask at once, and again when the result is old", async () => {
  let time = 0;
  let asked = 0;
  const ask = recently(() => Promise.resolve(++asked), 1_000, () => time);
  assertEquals(await Promise.all([ask(0), ask(0)]), [1, 1]);
  time = 999;
  assertEquals(await ask(0), 1);
  time = 1_000;
  assertEquals(await ask(0), 2);
});

Deno.test("recently() shares an error and forgets it", async () => {
  let asked = 0;
  const ask = recently(() => Promise.reject(new Error(`${++asked}`)), 1_000);
  const both = [ask(0), ask(0)];
  for (const one of both) await assertRejects(() => one, Error, "1");
  await assertRejects(() => ask(0), Error, "2");
});
