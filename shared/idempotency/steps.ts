import { sha256Hex } from "./fingerprint.ts";
import { type Identity, KEPT_CHARACTER, type StepResult } from "./ledger.ts";

/**
 * A key for one effect of an operation, 69 characters: the same in every
 * attempt, and nobody else's. Whoever does the effect deduplicates by it: a
 * provider by its own idempotency key, a table of your own by a unique
 * constraint on the user and this. It costs no trip.
 *
 * It closes the gap that no ledger can: an attempt that dies after its effect
 * and before its answer is recorded runs again.
 *
 * @param name Tells the effects of one operation apart.
 */
export type EffectKey = (name: string) => Promise<string>;

/** What a step's work is given. */
export interface StepContext {
  /**
   * A key for the provider that the step calls: the same in every attempt, so
   * that the provider deduplicates the one call whose outcome nobody knows.
   */
  readonly idempotencyKey: string;
}

/** Options of a step. */
export interface StepOptions<T> {
  /**
   * Checks a result that an earlier attempt left, for instance with a zod
   * schema's `parse`: the code may have changed since.
   *
   * @default {"takes it as it is"}
   */
  parse?: ((result: unknown) => T) | undefined;
}

/**
 * Runs a part of an operation once over all attempts of a key. A finished
 * step's result is kept in one trip, with the lease renewed, and given to later
 * attempts, which do not repeat the work; nor does this one, asked again.
 *
 * The result must have a JSON form; it is given back as JSON reads it, in the
 * first attempt too, so that no attempt sees anything else.
 *
 * @throws {LeaseLostError} When another attempt has taken the key over. Where
 * that was known before, or this attempt is over, the work is not begun. Where
 * the lease may have lapsed, the ledger is asked before.
 * @throws {LedgerUnavailableError} When it could not be asked, or the result
 * could not be kept. Asked again, only that is tried again.
 * @throws {LedgerMisconfiguredError} When the results of a key would take more
 * than 1 MiB in the database: return where a large one is.
 * @throws {TypeError} When the result has no JSON form, the name is not 1 to 100
 * characters, or the key would have more than 100 steps.
 */
export type Step = <T>(
  name: string,
  work: (step: StepContext) => Promise<T> | T,
  options?: StepOptions<T>,
) => Promise<T>;

/** What a kept result looks like: `undefined` has no member `value`. */
type Kept = { readonly value?: unknown };

/**
 * Makes the `effectKey` of an operation. The fingerprint is in it for the key's
 * next life: once expired, it may come back with another payload.
 */
export function effectKeyOf(
  { userId, scope, key }: Identity,
  fingerprint: string,
): EffectKey {
  return async (name) => {
    const parts = [userId, scope, key, fingerprint, name];
    return `idem_${await sha256Hex(JSON.stringify(parts))}`;
  };
}

// As many as the database keeps of one key.
const MAX_STEPS = 100;

const STEP_NAME = new RegExp(`^${KEPT_CHARACTER}{1,100}$`, "u");

/** What steps are told by their attempt, and tell it. */
interface Keeper {
  /** What earlier attempts left. */
  readonly finished: Readonly<Record<string, unknown>>;
  /** Throws where somebody else may have the key. */
  assertHeld(): Promise<void>;
  /** Keeps a result for later attempts. */
  keep(name: string, result: StepResult): Promise<void>;
}

// Without a key, or a ledger, nobody remembers anything.
const NOBODY: Keeper = {
  finished: {},
  assertHeld: () => Promise.resolve(),
  keep: () => Promise.resolve(),
};

/** Makes the `step` of one attempt. */
export function stepsOf(
  effectKey: EffectKey,
  { finished, assertHeld, keep }: Keeper = NOBODY,
): Step {
  const running = new Map<string, Promise<unknown>>();
  const done = new Map<string, Kept>();

  const perform = async <T>(
    name: string,
    work: (step: StepContext) => Promise<T> | T,
    { parse = (result) => result as T }: StepOptions<T>,
  ): Promise<T> => {
    if (Object.hasOwn(finished, name)) {
      return parse((finished[name] as Kept).value);
    }
    // Where its result could not be kept, only that is tried again.
    let kept = done.get(name);
    if (kept === undefined) {
      await assertHeld();
      const idempotencyKey = await effectKey(name);
      kept = toJson(name, { value: await work({ idempotencyKey }) });
      done.set(name, kept);
    }
    await keep(name, kept);
    return kept.value as T;
  };

  return (name, work, options = {}) => {
    // Refused by the database after its work, a step would run in each attempt.
    if (!STEP_NAME.test(name)) {
      throw new TypeError(
        `Cannot run a step by the name ${
          JSON.stringify(name.slice(0, 64))
        }: use 1 to 100 characters, without U+0000 and halves of surrogate pairs`,
      );
    }
    // Asked twice in one attempt, a step still runs once.
    const known = running.get(name);
    if (known !== undefined) return known as Promise<never>;
    const names = new Set([name, ...Object.keys(finished), ...running.keys()]);
    if (names.size > MAX_STEPS) {
      throw new TypeError(
        `Cannot run the step "${name}": a key has at most ${MAX_STEPS} steps, put several effects into one`,
      );
    }
    const result = perform(name, work, options);
    running.set(name, result);
    // One that failed may be tried again.
    result.catch(() => running.delete(name));
    return result;
  };
}

/** `effectKey` for a request without a key: each effect is a new one. */
export const newEffectKey: EffectKey = () =>
  Promise.resolve(`idem_${crypto.randomUUID()}`);

function toJson(name: string, kept: Kept): Kept {
  try {
    return JSON.parse(JSON.stringify(kept));
  } catch (cause) {
    throw new TypeError(
      `Cannot keep the result of the step "${name}": it has no JSON form`,
      { cause },
    );
  }
}
