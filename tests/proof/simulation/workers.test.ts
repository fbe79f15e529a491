import { assert } from "@std/assert";
import { playWorkers } from "./workers.ts";

// Fewer where it only has to notice that something is broken.
const SCHEDULES = Number(Deno.env.get("SIMULATED_SCHEDULES") ?? 100);

async function playAll(storms: boolean): Promise<Map<string, number>> {
  const total = new Map<string, number>();
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const { failure, tally } = await playWorkers(seed, { storms });
    assert(failure === null, failure ?? "");
    for (const [what, times] of tally) {
      total.set(what, (total.get(what) ?? 0) + times);
    }
  }
  return total;
}

function assertSeen(tally: Map<string, number>, ...names: string[]): void {
  // A simulation in which something never happens proves nothing about it.
  for (const name of names) {
    assert(
      (tally.get(name) ?? 0) > SCHEDULES / 10,
      `${name}: ${tally.get(name)} times`,
    );
  }
}

Deno.test(`workers that hang, stall and crash keep the promises in ${SCHEDULES} simulated schedules`, async () => {
  assertSeen(
    await playAll(false),
    "a late answer was refused",
    "event: lost_lease",
    "refused: OutcomeUnknownError",
    "replayed",
    "taken over from who hung",
  );
});

Deno.test(`and so they do in ${SCHEDULES} in which calls are lost and the ledger is down`, async () => {
  assertSeen(
    await playAll(true),
    "event: unrecorded",
    "refused at once",
    "refused: LedgerUnavailableError",
    "replayed",
    "settled: parked",
  );
});
