import postgres from "postgres";
import { memoryLedger, postgresLedger } from "../../shared/idempotency.ts";
import {
  type ContractCase,
  ledgerContract,
} from "../../shared/idempotency/testing.ts";
import { AGE_KEYS } from "../support/age.ts";

/** The ledgers that run wherever JavaScript does. */
export type LedgerName = "memory" | "postgres";

/**
 * The contract of a ledger.
 *
 * @param environment Reads `DATABASE_URL` and `USERS`, two accounts, when a case
 * runs.
 */
export function ledgerCases(
  ledger: LedgerName,
  environment: (name: string) => string | undefined,
): ContractCase[] {
  return ledgerContract(
    ledger === "memory" ? openMemory : () => {
      // A connection is for one request where a worker may not share them.
      const sql = postgres(environment("DATABASE_URL")!, { max: 4 });
      const [ada, bob] = environment("USERS")!.split(",");
      return {
        ledger: postgresLedger(sql),
        users: [ada!, bob!],
        age: async (seconds) => {
          await sql.unsafe(AGE_KEYS, [seconds]);
        },
        close: () => sql.end(),
      };
    },
  );
}

function openMemory() {
  let now = Date.now();
  return {
    ledger: memoryLedger({ now: () => now }),
    users: ["ada", "bob"] as const,
    age: (seconds: number) => void (now += seconds * 1000),
  };
}
