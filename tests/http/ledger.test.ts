import {
  type Ledger,
  LedgerUnavailableError,
  supabaseLedger,
} from "../../shared/idempotency.ts";
import { pRetry } from "../../shared/idempotency/deps.ts";
import {
  type ContractSubject,
  ledgerContract,
} from "../../shared/idempotency/testing.ts";
import { AGE_KEYS } from "../support/age.ts";
import { project, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let subject: ContractSubject;

Deno.test.beforeAll(async () => {
  const ada = await signUp(stack());
  const bob = await signUp(stack());
  subject = {
    ledger: patient(supabaseLedger(project(stack()).client)),
    users: [ada.userId, bob.userId],
    // The database's clock decides, so its rows are moved into the past.
    age: async (seconds) => {
      await stack().sql(AGE_KEYS, [seconds]);
    },
  };
});

for (const { name, run } of ledgerContract(() => subject)) {
  Deno.test(`Supabase ledger: ${name}`, run);
}

/** Asks again, like any caller, what a busy machine had no time for. */
function patient(ledger: Ledger): Ledger {
  return new Proxy(ledger, {
    get(target, name) {
      const method = Reflect.get(target, name);
      return typeof method !== "function"
        ? method
        : (...args: unknown[]) =>
          pRetry(() => method(...args), {
            retries: 30,
            minTimeout: 1_000,
            factor: 1,
            shouldRetry: ({ error }) => error instanceof LedgerUnavailableError,
          });
    },
  });
}
