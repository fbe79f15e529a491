/** Lets one holder in at a time, in the order they came. */
export interface Turnstile {
  /** Resolves when it is the caller's turn, with what ends that turn. */
  enter(): Promise<() => void>;
}

/** A turnstile that nobody has entered yet. */
export function createTurnstile(): Turnstile {
  let last: Promise<void> = Promise.resolve();
  return {
    enter: async () => {
      const { promise: left, resolve: leave } = Promise.withResolvers<void>();
      const before = last;
      last = left;
      await before;
      return leave;
    },
  };
}
