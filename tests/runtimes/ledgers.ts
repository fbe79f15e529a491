import postgres from "postgres";
import { memoryLedger, postgresLedger } from "../../shared/idempotency.ts";
import {
  type ContractCase,
  ledgerContract,
} from "../../shared/idempotency/testing.ts";

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
          await sql`update public.idempotency_keys set
          created_at = created_at - make_interval(secs => ${seconds}),
          claimed_at = claimed_at - make_interval(secs => ${seconds}),
          completed_at = completed_at - make_interval(secs => ${seconds}),
          lease_expires_at = lease_expires_at - make_interval(secs => ${seconds}),
          expires_at = expires_at - make_interval(secs => ${seconds})`;
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
