// A schedule that gets no further is a failure like any other, not the end of
// the run.

let patienceSeconds = 30;

/** Thrown for a schedule that got no further. */
export class HangsError extends Error {
  override readonly name = "HangsError";
}

/** A schedule that is being played. */
export interface Watched extends Disposable {
  /** Fulfilled where it has been played for too long. */
  readonly hung: Promise<HangsError>;
}

// Real time: schedules of workers put a clock of their own in its place.
const { setTimeout, clearTimeout } = globalThis;
const playing = new Set<number>();

/** Watches the schedule of a seed, for as long as it is played. */
export function watch(seed: number): Watched {
  const { promise: hung, resolve } = Promise.withResolvers<HangsError>();
  const seconds = patienceSeconds;
  const timer = setTimeout(
    () => resolve(new HangsError(`nothing came for ${seconds} s: it hangs`)),
    seconds * 1000,
  );
  playing.add(seed);
  return {
    hung,
    [Symbol.dispose]() {
      clearTimeout(timer);
      playing.delete(seed);
    },
  };
}

let isFirst = true;

/**
 * Registers a test of what may keep the event loop to itself, so that nothing
 * here is called any more: the runner ends it, and then the seed is said.
 */
export function test(name: string, fn: () => void | Promise<void>): void {
  if (isFirst) {
    Deno.test.afterEach(() => {
      for (const seed of playing) console.log(`it hangs: SOAK_SEED=${seed}`);
      playing.clear();
    });
  }
  isFirst = false;
  Deno.test(name, { timeout: 120_000 }, fn);
}

/** Waits a moment only for schedules that hang on purpose. */
export async function impatiently<T>(play: () => Promise<T>): Promise<T> {
  const usual = patienceSeconds;
  patienceSeconds = 0.5;
  try {
    return await play();
  } finally {
    patienceSeconds = usual;
  }
}
