import { assertStringIncludes } from "@std/assert";
import { disagreement } from "../proof/agreement/agreement.ts";
import {
  agreementTrial,
  compareLedgers,
  inMemory,
} from "../proof/agreement/trials.ts";
import { randomFrom } from "../proof/simulation/random.ts";
import { testTrial } from "../proof/trial.ts";
import { withStack } from "../support/stack.ts";
import { WRONG_STORES } from "./wrong_stores.ts";

const url = Deno.env.get("STACK") === "postgres"
  ? Deno.env.get("DATABASE_URL")
  : undefined;

if (url === undefined) {
  Deno.test.ignore("ledgers agree: needs a Postgres server", () => {});
} else {
  const stack = withStack();
  testTrial({
    ...agreementTrial,
    run: (limits) => compareLedgers(limits, stack(), url),
  }, 1.5);
}

// The last one found is at less than 200.
const SEEDS = 2000;

// What is compared are short keys in lower case, one call at a time; the contract
// shows these.
const UNSEEN = [
  "a long key is cut",
  "checkpoint() looks first whose the key is, and then writes",
  "renew() looks first whose the key is, and then writes",
  "the case of the key makes no difference",
];

for (const [fault, { wrong }] of Object.entries(WRONG_STORES)) {
  if (UNSEEN.includes(fault)) continue;
  Deno.test(`comparing finds a store where ${fault}`, async () => {
    let found: string | null = null;
    for (let seed = 0; found === null && seed < SEEDS; seed++) {
      const sides = [
        inMemory("memory", (ledger) => ledger),
        inMemory("wrong", wrong),
      ];
      const how = { accounts: ["ada", "bob"], purges: seed % 2 === 1 } as const;
      found = await disagreement(randomFrom(seed), sides, how);
    }
    assertStringIncludes(found ?? "nothing", "\nwrong: ");
  });
}
