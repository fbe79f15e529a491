import { assertEquals } from "@std/assert";
import { memoryLedger } from "../../shared/idempotency/memory_ledger.ts";
import {
  type ContractSubject,
  ledgerContract,
} from "../../shared/idempotency/testing.ts";

function open(): ContractSubject {
  let now = Date.now();
  return {
    ledger: memoryLedger({ now: () => now }),
    users: ["ada", "bob"],
    age: (seconds) => void (now += seconds * 1000),
  };
}

for (const { name, run } of ledgerContract(open)) {
  Deno.test(`memory ledger: ${name}`, run);
}

Deno.test("memory ledger: expired keys are dropped as new ones come", async () => {
  const { ledger, age } = open();
  const ownerToken = crypto.randomUUID();
  const claim = (key: string) =>
    ledger.claim({ userId: "ada", scope: "orders", key }, {
      fingerprint: "a".repeat(64),
      ownerToken,
      leaseSeconds: 1,
      ttlSeconds: 1,
      onAbandoned: "retry",
      maxAttempts: 5,
      metadata: null,
    });
  const renew = () =>
    ledger.renew(
      { userId: "ada", scope: "orders", key: "first" },
      ownerToken,
      1,
    );
  await claim("first");
  await age(60);
  assertEquals(await renew(), { outcome: "recorded" });
  await age(60);
  for (let n = 0; n < 2000; n++) await claim(`key-${n}`);
  assertEquals(await renew(), { outcome: "gone" });
});
