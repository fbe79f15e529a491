import type { Problem } from "../../shared/idempotency.ts";

/** A request that is refused before anything was done. */
export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(readonly problem: Problem, options?: ErrorOptions) {
    super(problem.detail, options);
  }
}
