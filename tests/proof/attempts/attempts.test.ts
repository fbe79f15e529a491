/**
 * Attempts that stall, crash or are told to go, on a real Postgres: who
 * has the key, for how long, and how often the effect happened.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type {
  OperationContext,
  OperationResult,
  OperationRun,
} from "../../../shared/idempotency/operation.ts";
import { runDeno } from "../../../scripts/check/command.ts";
import { withIdempotency } from "../../../shared/idempotency.ts";
import { linesOf } from "../../support/lines_of.ts";
import { unique } from "../../support/probe.ts";
import { project } from "../../support/stack.ts";
import {
  type FaultyDatabase,
  startFaultyDatabase,
} from "../faults/faulty_database.ts";

const SCOPE = "attempts";

let database: FaultyDatabase;

Deno.test.beforeAll(async () => {
  database = await startFaultyDatabase();
});
Deno.test.afterAll(async () => await database[Symbol.asyncDispose]());

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** An operation of one key, as a function that holds the secret key runs it. */
function operation(key: string, options: Partial<OperationContext> = {}) {
  return <Body>(run: (run: OperationRun) => Promise<OperationResult<Body>>) =>
    withIdempotency({
      supabase: project(database.stack).client,
      userId: null,
      route: SCOPE,
      key,
      ...options,
    }, run);
}

const takeEffect = (key: string) =>
  database.takeEffect({ userId: null, scope: SCOPE, key });
const effectsOf = (key: string) =>
  database.effects({ userId: null, scope: SCOPE, key });

const test = (name: string, fn: () => Promise<void>) =>
  // Connections are made anew in the background.
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });

test("a worker that is told to go keeps the keys of what it is at: one effect", async () => {
  const key = unique("unload");
  const call = operation(key, { leaseSeconds: 1 });
  let isTold = false;
  const begun = Promise.withResolvers<void>();
  const working = call(async ({ signal }) => {
    begun.resolve();
    await sleep(3_000);
    await takeEffect(key);
    isTold = signal.aborted;
    return { status: 201, body: null };
  });
  await begun.promise;
  dispatchEvent(new Event("beforeunload"));
  // Longer than the lease: it is renewed after that event, too.
  for (let n = 0; n < 5; n++) {
    const retry = await call(async () => {
      await takeEffect(key);
      return { status: 201, body: null };
    });
    assertEquals(retry.status, 409);
    await sleep(400);
  }
  assertEquals((await working).status, 201);
  assertEquals([isTold, await effectsOf(key)], [true, 1]);
});

test("a blocked event loop loses its lease: its late answer gives way, and the event says so", async () => {
  const key = unique("block");
  const { lines, ended } = startWorker("block", key);
  assertEquals((await lines.next()).value, "blocked");
  const call = operation(key, { leaseSeconds: 1, maxAttempts: 3 });
  const retry = () =>
    call(async ({ attempt, step }) => {
      await takeEffect(key);
      const charged = await step("charge", () => ({ attempt }));
      return { status: 200, body: { by: attempt, charged } };
    });
  let answered = await retry();
  while (answered.status === 409) {
    await sleep(100);
    answered = await retry();
  }
  // The step that the first attempt finished is not run again.
  assertEquals(answered.body, { by: 2, charged: { attempt: 1 } });
  const late = JSON.parse((await lines.next()).value!);
  await ended;
  assertEquals([late.body, late.replayed], [answered.body, true]);
  assert(late.events.includes("lost_lease"), late.events.join());
  assertEquals((await retry()).body, answered.body);
  assertEquals(await effectsOf(key), 2);
});

test("a request that kills its worker runs maxAttempts times, and then waits for an operator", async () => {
  const key = unique("crash");
  const call = operation(key, { leaseSeconds: 1, maxAttempts: 3 });
  for (let runs = 1; runs <= 3; runs++) {
    await startWorker("crash", key).ended;
    assertEquals(await effectsOf(key), runs);
    await sleep(1_200);
  }
  for (let n = 0; n < 3; n++) {
    const parked = await call(() => {
      throw new Error("it ran a fourth time");
    });
    const { code, retryable } = parked.body as Record<string, unknown>;
    assertEquals(
      [parked.status, code, retryable],
      [409, "OUTCOME_UNKNOWN", false],
    );
  }
  assertEquals(await effectsOf(key), 3);

  const [stuck] = await database.sql`
    select attempt, steps, crashed_attempts
    from public.idempotency_stuck_keys() where idempotency_key = ${key}`;
  assertEquals([stuck!["attempt"], stuck!["steps"]], [
    3,
    { charge: { value: { attempt: 1 } } },
  ]);
  assertEquals(
    stuck!["crashed_attempts"].map((
      { attempt, steps }: Record<string, unknown>,
    ) => [attempt, steps]),
    [[1, 1], [2, 1]],
  );
  const url = ["--database-url", database.cluster.url];
  const { stdout } = await runDeno(["task", "--quiet", "keys", "list", ...url]);
  const line = stdout.split("\n").find((line) => line.includes(key)) ?? "";
  assertMatch(line, /\b3\b.*charge.*1 \(1 step\), 2 \(1 step\)/);
});

/** Starts a worker; `lines` is what it prints. */
function startWorker(mode: "block" | "crash", key: string) {
  const worker = new URL("./worker.ts", import.meta.url).href;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", "--no-check", "--quiet", worker],
      ...[database.cluster.url, mode, key],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  return { lines: linesOf(child.stdout), ended: child.status };
}
