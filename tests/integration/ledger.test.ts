import { supabaseLedger } from "../../shared/idempotency.ts";
import { ledgerContract } from "../contract/ledger_contract.ts";
import { project, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
let subject: Parameters<typeof ledgerContract>[1];

Deno.test.beforeAll(async () => {
  const actors = {
    ada: await signUp(stack()),
    bob: await signUp(stack()),
    project: project(stack()),
  };
  subject = () => ({
    ledgers: {
      ada: supabaseLedger(actors.ada.client),
      bob: supabaseLedger(actors.bob.client),
      project: supabaseLedger(actors.project.client),
    },
    userIds: {
      ada: actors.ada.userId,
      bob: actors.bob.userId,
      project: null,
    },
    // The database's clock decides, so its rows are moved into the past.
    age: async (seconds) => {
      await stack().sql(
        `update public.idempotency_keys set
           created_at = created_at - make_interval(secs => $1),
           claimed_at = claimed_at - make_interval(secs => $1),
           completed_at = completed_at - make_interval(secs => $1),
           lease_expires_at = lease_expires_at - make_interval(secs => $1),
           expires_at = expires_at - make_interval(secs => $1)`,
        [seconds],
      );
    },
  });
});

ledgerContract("Supabase ledger", () => subject());
