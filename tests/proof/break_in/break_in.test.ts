/**
 * A part of the trial `break-in`, on the stack that the other tests share: see
 * `tests/examples/http/all.ts`.
 *
 * @module
 */
import { withStack } from "../../support/stack.ts";
import { testTrial } from "../trial.ts";
import { breakIn } from "./break_in.ts";
import { byPublicKey } from "./public_key.ts";

const stack = withStack();

testTrial({
  name: "break-in",
  missing: () => null,
  run: async (limits) => [
    ...await breakIn(stack(), limits),
    await byPublicKey(),
  ],
}, 3);
