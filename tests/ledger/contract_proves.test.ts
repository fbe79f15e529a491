import { assert, assertEquals, assertRejects } from "@std/assert";
import { memoryLedger } from "../../shared/idempotency/memory_ledger.ts";
import {
  ContractError,
  ledgerContract,
} from "../../shared/idempotency/testing.ts";
import { WRONG_STORES } from "./wrong_stores.ts";

for (const [fault, { shownBy, wrong }] of Object.entries(WRONG_STORES)) {
  Deno.test(`the contract fails for a store where ${fault}`, async () => {
    const broken: string[] = [];
    for (
      const { name, run } of ledgerContract(() => {
        let now = Date.now();
        const clock = () => now;
        return {
          ledger: wrong(memoryLedger({ now: clock }), clock),
          users: ["ada", "bob"],
          age: (seconds) => void (now += seconds * 1000),
        };
      })
    ) {
      await run().catch(() => broken.push(name));
    }
    assert(broken.includes(shownBy), `broken: ${broken.join("; ") || "none"}`);
  });
}

Deno.test("the contract says what the store answered, and closes it", async () => {
  let closed = 0;
  const [first] = ledgerContract(() => ({
    ledger: {
      ...memoryLedger(),
      claim: () => Promise.resolve({ outcome: "abandoned" }),
    },
    users: ["ada", "bob"],
    age() {},
    close: () => void closed++,
  }));
  await assertRejects(
    () => first!.run(),
    ContractError,
    'a claim: the store answered {"outcome":"abandoned"}, not "claimed"',
  );
  assertEquals(closed, 1);
});

Deno.test("a store without batches, notifications and statistics keeps the contract", async () => {
  for (
    const { run } of ledgerContract(() => {
      let now = Date.now();
      const { claim, renew, checkpoint, complete, fail, read } = memoryLedger({
        now: () => now,
      });
      return {
        ledger: { claim, renew, checkpoint, complete, fail, read },
        users: ["ada", "bob"],
        age: (seconds) => void (now += seconds * 1000),
      };
    })
  ) await run();
});
