import { assert } from "@std/assert";
import type { Ledger } from "../../../shared/idempotency/ledger.ts";
import { WRONG_STORES } from "../../ledger/wrong_stores.ts";
import { testSeed } from "../trial.ts";
import { impatiently, test } from "./hang.ts";
import { playWorkers, type Weather } from "./workers.ts";

// Fewer where it only has to notice that something is broken.
const SCHEDULES = Number(Deno.env.get("SIMULATED_SCHEDULES") ?? 100);

async function playAll(storms: boolean): Promise<Map<string, number>> {
  const total = new Map<string, number>();
  const first = testSeed();
  for (let n = 0; n < SCHEDULES; n++) {
    const { failure, tally } = await playWorkers(first + n, { storms });
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

test(`workers that hang, stall and crash keep the promises in ${SCHEDULES} simulated schedules`, async () => {
  assertSeen(
    await playAll(false),
    "a late answer was refused",
    "event: lost_lease",
    "refused: OutcomeUnknownError",
    "replayed",
    "taken over from who hung",
    "taken over by the other version",
  );
});

test(`and so they do in ${SCHEDULES} in which calls are lost and the ledger is down`, async () => {
  assertSeen(
    await playAll(true),
    "event: unrecorded",
    "refused at once",
    "refused: LedgerUnavailableError",
    "replayed",
    "settled: parked",
  );
});

test("a schedule knows nothing of what was played before it", async () => {
  // A worker that died in the first was still being waited for in the second.
  for (const storms of [false, true]) {
    const { failure } = await playWorkers(702_368_879, { storms });
    assert(failure === null, failure ?? "");
  }
});

test("a schedule that gets no further is a failure", async () => {
  const claim = async () => {
    while (true) await new Promise((resolve) => setTimeout(resolve, 0));
  };
  const wrong = (ledger: Ledger) => ({ ...ledger, claim });
  const { failure } = await impatiently(() =>
    playWorkers(7, { storms: false, wrong })
  );
  assert(/^seed 7: .* it hangs\n/.test(failure ?? ""), failure ?? "passed");
});

/** Of another version only its own leases count. */
function forgetsOthersLeases(ledger: Ledger): Ledger {
  const leases = new Map<string, number>();
  return {
    ...ledger,
    async claim(identity, terms) {
      const result = await ledger.claim(identity, terms);
      const lease = leases.get(identity.key);
      if (result.outcome === "claimed" || result.outcome === "taken_over") {
        leases.set(identity.key, terms.leaseSeconds);
      }
      return result.outcome === "in_progress" && lease !== terms.leaseSeconds
        ? { outcome: "taken_over", attempt: 2, fence: 1e6, steps: {} }
        : result;
    },
  };
}

const WRONG: Record<string, NonNullable<Weather["wrong"]>> = {
  "a claim is never answered": (ledger) => ({
    ...ledger,
    claim: () => new Promise(() => {}),
  }),
  "one version does not see the leases of the other": forgetsOthersLeases,
  ...Object.fromEntries(
    [
      "anybody may complete a key",
      "a stale owner renews its successor's lease",
      "a lease never lapses",
      "maxAttempts is ignored",
    ].map((name) => [name, WRONG_STORES[name]!.wrong]),
  ),
};

for (const [name, wrong] of Object.entries(WRONG)) {
  test(`simulated workers notice a ledger where ${name}`, async () => {
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      const { failure } = await playWorkers(seed, { storms: false, wrong });
      if (failure !== null) return;
    }
    throw new Error("all schedules passed");
  });
}
