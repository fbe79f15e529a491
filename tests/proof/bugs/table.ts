/**
 * The bugs that other systems shipped, and which tests here would have caught
 * them. `test` is the title as it stands in the file, so that a reader finds it.
 */
export const FIELD_BUGS: readonly {
  readonly bug: string;
  readonly tests: readonly (readonly [file: string, test: string])[];
}[] = [
  {
    bug: "a rejected duplicate deletes or unlocks the owner's record",
    tests: [
      [
        "tests/proof/bugs/field_bugs.test.ts",
        "a rejected duplicate leaves the owner's record alone",
      ],
      [
        "shared/idempotency/testing.ts",
        "whoever never claimed changes nothing and is told nothing",
      ],
    ],
  },
  {
    bug: "no deadline known, so two executions at once",
    tests: [
      [
        "tests/proof/bugs/field_bugs.test.ts",
        "a handler that nobody gave a deadline still runs alone",
      ],
      [
        "tests/core/attempt.test.ts",
        "a lease is renewed for as long as the handler runs",
      ],
    ],
  },
  {
    bug:
      "the payload's hash is lost when completing; the handler changes its input and the wrong key is completed",
    tests: [
      [
        "tests/proof/bugs/field_bugs.test.ts",
        "a handler that changes its input completes the key it was given",
      ],
      [
        "shared/idempotency/testing.ts",
        "claim() refuses another payload for a ${state} key",
      ],
    ],
  },
  {
    bug:
      "recovery of an orphan overwrites a record that was completed meanwhile",
    tests: [
      [
        "tests/ledger/sessions.test.ts",
        "a late owner and 50 who take over: one answer is recorded",
      ],
      [
        "tests/proof/simulation/sql.test.ts",
        "wherever two sessions meet at a key, it is as if one had come after the other",
      ],
      [
        "tests/proof/simulation/racy_mutations.ts",
        "a takeover trusts what it saw before it waited for the row",
      ],
    ],
  },
  {
    bug: "milliseconds compared with seconds in an expiry check",
    tests: [
      [
        "shared/idempotency/testing.ts",
        "claim() tells others to wait, and for how long",
      ],
      [
        "tests/ledger/wrong_stores.ts",
        "seconds are taken for milliseconds",
      ],
    ],
  },
  {
    bug: "an expired row can never be claimed again until the purge runs",
    tests: [
      [
        "shared/idempotency/testing.ts",
        "a key is free when its time is over, for any payload",
      ],
      [
        "tests/proof/simulation/sql_mutations.ts",
        "an expired key is never free again",
      ],
    ],
  },
  {
    bug:
      "completing or releasing by key alone: a stale owner clobbers its successor",
    tests: [
      [
        "shared/idempotency/testing.ts",
        "a stale owner changes nothing while its successor runs",
      ],
      ["tests/proof/simulation/sql_mutations.ts", "anybody completes a key"],
      ["tests/proof/simulation/sql_mutations.ts", "anybody fails a key"],
    ],
  },
  {
    bug: "a heartbeat without an owner token renews the thief's lease",
    tests: [
      [
        "tests/proof/bugs/field_bugs.test.ts",
        "a zombie's heartbeat renews nobody's lease",
      ],
      ["tests/proof/simulation/sql_mutations.ts", "anybody renews a lease"],
    ],
  },
  {
    bug: "a different payload is accepted at takeover",
    tests: [
      [
        "shared/idempotency/testing.ts",
        "claim() refuses another payload for a ${state} key",
      ],
      [
        "tests/proof/simulation/sql_mutations.ts",
        "the payload is not compared at a takeover",
      ],
    ],
  },
  {
    bug:
      "store errors swallowed, so the request hangs; completion fired and forgotten after the answer",
    tests: [
      [
        "tests/proof/faults/database_faults.test.ts",
        "a call that is never answered ends at its deadline, over either route",
      ],
      [
        "tests/proof/bugs/field_bugs.test.ts",
        "no answer is given before it is recorded",
      ],
      [
        "tests/core/ledger_down.test.ts",
        "a ledger out of reach refuses the request with 503 and when to come back",
      ],
    ],
  },
  {
    bug:
      "unconditional lock acquisition: two callers both run in spite of a unique constraint",
    tests: [
      [
        "tests/ledger/sessions.test.ts",
        "of 50 sessions that claim a fresh key one gets it",
      ],
      ["tests/proof/simulation/sql_mutations.ts", "a live lease is ignored"],
    ],
  },
  {
    bug: "keys not scoped by user: same key, other tenant's answer",
    tests: [
      [
        "tests/http/isolation.test.ts",
        "two users with the same key get two executions and their own answers",
      ],
      [
        "tests/proof/simulation/sql_mutations.ts",
        "a claim looks for the key without its user",
      ],
    ],
  },
  {
    bug: "a crash leaves 409 for the whole retention time",
    tests: [
      [
        "tests/http/http_contract.test.ts",
        "an abandoned key runs again after its lease, as attempt 2",
      ],
      [
        "tests/proof/crash/faults.ts",
        "an instance was killed",
      ],
    ],
  },
  {
    bug: "a generic 503 stored as the final answer",
    tests: [
      [
        "tests/proof/bugs/field_bugs.test.ts",
        "a generic 503 is no final answer: the retry runs",
      ],
      [
        "tests/http/http_contract.test.ts",
        "an answer with status ${status} is not final: the retry runs",
      ],
    ],
  },
  {
    bug: 'false, 0 and "" turned into null',
    tests: [
      [
        "tests/http/operation.test.ts",
        "a result of ${JSON.stringify(body)} is replayed as it was",
      ],
      [
        "tests/core/attempt.test.ts",
        "a step's result of ${JSON.stringify(result)} is kept as it was",
      ],
    ],
  },
  {
    bug:
      "text() on binary bodies; Set-Cookie and CORS headers replayed to somebody else",
    tests: [
      [
        "tests/http/replay_fidelity.test.ts",
        "a replay differs from the first answer in its marker alone",
      ],
      [
        "tests/http/replay_fidelity.test.ts",
        "what belongs to one answer is never stored",
      ],
    ],
  },
  {
    bug: "CORS headers let neither the key in nor the replay marker out",
    tests: [
      [
        "tests/http/cors.test.ts",
        "the preflight of ${path} lets the key headers in",
      ],
      [
        "tests/http/cors.test.ts",
        "first answer, replay and refusal can be read from another origin",
      ],
    ],
  },
  {
    bug: "purge racing a takeover; purge deleting a live lease",
    tests: [
      [
        "tests/ledger/sessions.test.ts",
        "cleanup beside claims of the same expired keys never deletes a live lease",
      ],
      [
        "tests/proof/simulation/racy_mutations.ts",
        "cleanup waits for a row and deletes it although it was claimed anew",
      ],
      [
        "tests/proof/simulation/sql_mutations.ts",
        "cleanup deletes live leases and kept answers",
      ],
    ],
  },
  {
    bug: "a hung handler's lock is renewed for ever",
    tests: [
      [
        "tests/http/long_work.test.ts",
        "a handler that hangs keeps its key for maxRunSeconds and its lease, is told so, and the retry runs",
      ],
    ],
  },
  {
    bug:
      "the body was consumed before, and every request has the same fingerprint",
    tests: [
      [
        "tests/core/middleware.test.ts",
        "a body that something read before is a 500 that says so, and nothing runs",
      ],
    ],
  },
  {
    bug:
      "what a store without compare-and-set kept is read back: two callers with the same payload both win",
    tests: [
      [
        "shared/idempotency/testing.ts",
        "claim() grants a ${state} key to one of many at once",
      ],
      [
        "tests/ledger/wrong_stores.ts",
        "two that ask in the same moment are both granted",
      ],
    ],
  },
  {
    bug:
      "the same session switches its organisation and gets the other one's answer",
    tests: [
      [
        "tests/core/middleware.test.ts",
        "a scope made of the request keeps the organisations of one user apart",
      ],
    ],
  },
  {
    bug:
      "a guide's insert fails on the duplicate key instead of giving the first result",
    tests: [
      [
        "tests/docs/migrating.test.ts",
        "the route of the guide gives the first row again where its key is gone",
      ],
      [
        "tests/guides/webhooks.test.ts",
        "Stripe: a payment is booked once, whichever secret its event is signed with",
      ],
    ],
  },
  {
    bug: "users are told to compare an execution's id, which no retry shares",
    tests: [
      [
        "tests/http/sources_of_keys.test.ts",
        "an execution's id is none of the keys: a retry that another execution serves is a replay",
      ],
    ],
  },
];
