import { supabaseLedger } from "../../shared/idempotency.ts";
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
    ledger: supabaseLedger(project(stack()).client),
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
