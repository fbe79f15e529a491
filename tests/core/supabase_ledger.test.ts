import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  IdempotencyError,
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  TooManyKeysError,
} from "../../shared/idempotency/errors.ts";
import {
  type LedgerCall,
  supabaseLedger,
} from "../../shared/idempotency/supabase_ledger.ts";

const IDENTITY = { userId: null, scope: "orders", key: "order-17" };

/** How often a call is sent that is answered like this, and what it ends in. */
async function ask(status: number, code?: string) {
  let calls = 0;
  const answer = {
    data: null,
    error: { message: "no", ...(code === undefined ? {} : { code }) },
    status,
  };
  const ledger = supabaseLedger({
    rpc() {
      calls++;
      const call: LedgerCall = Object.assign(Promise.resolve(answer), {
        abortSignal: () => call,
      });
      return call;
    },
  });
  const error = await assertRejects(
    () => ledger.read(IDENTITY),
    IdempotencyError,
  );
  return { calls, error };
}

Deno.test("an answer of what stands before the database is worth another try", async () => {
  await Promise.all(
    [
      [0],
      [429],
      [500],
      [502],
      [503],
      [504],
      [599],
      // The Data API has no connection left, or lost its own.
      [503, "PGRST000"],
      [504, "PGRST003"],
    ].map(async ([status, code]) => {
      const { calls, error } = await ask(status as number, code as string);
      assert(error instanceof LedgerUnavailableError, `${status}: ${error}`);
      assert(calls > 1, `${status} ${code}`);
    }),
  );
});

Deno.test("so is what the database says will pass", async () => {
  await Promise.all(
    ["08006", "40001", "40P01", "53300", "57014", "57P01", "55P03"].map(
      async (code) => {
        const { calls, error } = await ask(400, code);
        assert(error instanceof LedgerUnavailableError, `${code}: ${error}`);
        assert(calls > 1, code);
      },
    ),
  );
});

Deno.test("a refusal of the database is final, whatever status it comes with", async () => {
  for (
    const [status, code, Refusal] of [
      [429, "PT429", TooManyKeysError],
      [400, "22P02", LedgerMisconfiguredError],
      [401, "PGRST301", LedgerMisconfiguredError],
      [403, "42501", LedgerMisconfiguredError],
      [404, "PGRST202", LedgerMisconfiguredError],
      [404, undefined, LedgerMisconfiguredError],
      [499, undefined, LedgerMisconfiguredError],
      [500, "XX000", LedgerMisconfiguredError],
    ] as const
  ) {
    const { calls, error } = await ask(status, code);
    assert(error instanceof Refusal, `${status} ${code}: ${error}`);
    assertEquals(calls, 1, `${status} ${code}`);
  }
});
