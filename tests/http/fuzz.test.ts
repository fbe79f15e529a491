import { askStack } from "../proof/fuzz/stack_target.ts";
import { testTrial } from "../proof/trial.ts";
import { withStack } from "../support/stack.ts";

const stack = withStack();

testTrial({
  name: "fuzz routes",
  missing: () => null,
  run: (limits) => askStack(stack(), limits),
}, 3);
