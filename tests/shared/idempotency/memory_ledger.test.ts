import { memoryLedger } from "../../../shared/idempotency/memory_ledger.ts";
import { ledgerContract } from "../../contract/ledger_contract.ts";

ledgerContract("memory ledger", () => {
  let now = Date.now();
  const ledger = memoryLedger({ now: () => now });
  return {
    ledgers: { ada: ledger, bob: ledger, project: ledger },
    userIds: { ada: "ada", bob: "bob", project: null },
    age: (seconds) => {
      now += seconds * 1000;
    },
  };
});
