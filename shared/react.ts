/**
 * A form that takes effect once, in React: one key for what its user means, kept
 * until there is an answer.
 *
 * @module
 */
"use client";

// @ts-types="@types/react"
import { useCallback, useInsertionEffect, useRef, useState } from "react";
import { endsAttempt } from "./client/answers.ts";
import { generateIdempotencyKey } from "./client.ts";

/** What {@link useIdempotentMutation} gives to the function that sends. */
export interface Submission {
  /** To be sent as `Idempotency-Key`, or as the `key` of `apiPost`. */
  readonly key: string;
}

/** Options of {@link useIdempotentMutation}. */
export interface IdempotentMutationOptions {
  /**
   * The key of an attempt to go on with: one that was kept by the app, in a
   * queue for instance, while it had no answer. Another key is another attempt.
   */
  key?: string | undefined;
  /**
   * Keeps the key of an open attempt under this name in `sessionStorage`, so
   * that it outlives a reload, and a dialog that is closed and opened again. One
   * name for one form, with the id of what it edits.
   */
  name?: string | undefined;
}

/** What {@link useIdempotentMutation} tells a component. */
export interface IdempotentMutation<Variables, Data> {
  /**
   * Sends, or shares the answer of the sending under way, whatever that was
   * submitted with: one of these for one form, and for each row of a list.
   * Resolves to what the function that sends resolves to, and rejects as it
   * rejects. The same function at each render.
   */
  submit(variables: Variables): Promise<Data>;
  /** Whether a sending is under way; for `disabled`. */
  readonly isSubmitting: boolean;
  /** The last answer; `undefined` before, and while another is asked for. */
  readonly data: Data | undefined;
  /** Why there is none. */
  readonly error: unknown;
  /** The key of the attempt that has no answer yet. */
  readonly key: string | undefined;
  /**
   * Gives the attempt up: what is submitted from now on is another one, and may
   * take effect beside the first. Forgets answer and error.
   */
  reset(): void;
}

/** What a form is for: one component may come to edit another thing. */
interface Thing {
  readonly name: string | undefined;
  /** The keys that the app may give for it. */
  readonly keys: readonly (string | undefined)[];
}

interface View<Data> extends Thing {
  readonly isSubmitting: boolean;
  readonly data?: Data | undefined;
  readonly error?: unknown;
  readonly key?: string | undefined;
}

/** What the user means by the form, until there is an answer. */
interface OpenAttempt<Data> extends Thing {
  readonly key: string;
  /** Whether nothing was sent under the key before. */
  isNew: boolean;
  running?: Promise<Data> | undefined;
}

/**
 * A mutation whose form makes one effect, however often it is submitted: the
 * key is made at the first submit and kept until the attempt has an answer,
 * through lost answers, questions and corrections. What is submitted while a
 * sending is under way shares its answer, so a double click is one.
 *
 * An attempt ends when `mutate` resolves, or rejects with an
 * `IdempotencyProblemError` of its key that is final (what `apiPost` throws, and
 * `problemOf` makes of a response). Any other error leaves it open: submit
 * again, with a fresh token too, and the server gives the recorded answer if it
 * has one.
 *
 * A sending goes on when its component is unmounted, since its effect does too;
 * its answer then ends the attempt and sets no state.
 *
 * @param mutate Sends the request, under the key that it is given.
 *
 * @example
 * ```ts
 * import { apiPost } from "./client.ts";
 * import { useIdempotentMutation } from "./react.ts";
 *
 * export function useSale() {
 *   return useIdempotentMutation(
 *     async (sale: { total: number }, { key }) =>
 *       (await apiPost<{ receipt: string }>("/api/sales", sale, { key })).data,
 *   );
 * }
 * // const { submit, isSubmitting, error } = useSale();
 * // const sell = () => submit({ total: 3 }).catch(() => {});
 * // <button disabled={isSubmitting} onClick={sell}>
 * ```
 */
export function useIdempotentMutation<Variables = void, Data = unknown>(
  mutate: (variables: Variables, submission: Submission) => Promise<Data>,
  options: IdempotentMutationOptions = {},
): IdempotentMutation<Variables, Data> {
  const untouched: View<Data> = {
    isSubmitting: false,
    key: options.key,
    name: options.name,
    keys: [options.key],
  };
  const [view, setView] = useState(untouched);
  const latest = useRef({ mutate, options });
  const attempt = useRef<OpenAttempt<Data> | undefined>(undefined);
  // The keys of the app that were gone on with, or given up.
  const taken = useRef<Thing["keys"]>([]);
  // Not while rendering, which may be thrown away; and before any other effect,
  // since one of a part of the form may submit.
  useInsertionEffect(() => {
    latest.current = { mutate, options };
  });

  const submit = useCallback((variables: Variables): Promise<Data> => {
    const { mutate, options } = latest.current;
    if (!attempt.current || !isFor(attempt.current, options)) {
      attempt.current = resume(options, taken.current) ?? begin(options);
      taken.current = attempt.current.keys;
    }
    const open = attempt.current;
    open.running ??= run(
      open,
      // A promise even where it throws at once.
      async () => await mutate(variables, { key: open.key }),
    );
    return open.running;

    async function run(
      open: OpenAttempt<Data>,
      send: () => Promise<Data>,
    ): Promise<Data> {
      // Of an attempt that was given up meanwhile nothing is shown.
      const show = (view: Omit<View<Data>, keyof Thing>) => {
        const { name, keys } = open;
        if (attempt.current === open) setView({ ...view, name, keys });
      };
      const end = () => {
        if (attempt.current === open) attempt.current = undefined;
        // Another one may be kept there by now.
        if (keptUnder(open.name) === open.key) keep(open.name, undefined);
      };
      show({ isSubmitting: true, key: open.key });
      try {
        const data = await send();
        show({ isSubmitting: false, data });
        end();
        return data;
      } catch (error) {
        const isOver = endsAttempt(error, open.key, open.isNew);
        open.isNew = false;
        open.running = undefined;
        show({
          isSubmitting: false,
          error,
          key: isOver ? undefined : open.key,
        });
        if (isOver) end();
        throw error;
      }
    }
  }, []);

  const reset = useCallback(() => {
    const { key, name } = latest.current.options;
    taken.current = [key];
    attempt.current = undefined;
    keep(name, undefined);
    setView({ isSubmitting: false, name, keys: [key] });
  }, []);

  const { isSubmitting, data, error, key } = isFor(view, options)
    ? view
    : untouched;
  return { submit, reset, isSubmitting, data, error, key };
}

function isFor(
  thing: Thing,
  { key, name }: IdempotentMutationOptions,
): boolean {
  return thing.name === name &&
    (key === undefined || thing.keys.includes(key));
}

function begin(
  { key: given, name }: IdempotentMutationOptions,
): OpenAttempt<never> {
  const key = generateIdempotencyKey();
  keep(name, key);
  return { key, name, keys: [given, key], isNew: true };
}

/** The attempt that was open before this component was. */
function resume(
  { key, name }: IdempotentMutationOptions,
  taken: Thing["keys"],
): OpenAttempt<never> | undefined {
  const kept = key !== undefined && !taken.includes(key)
    ? key
    : keptUnder(name);
  return kept === undefined
    ? undefined
    : { key: kept, name, keys: [key, kept], isNew: false };
}

// Of one tab: two that have the same form open mean two things.
function keep(name: string | undefined, key: string | undefined): void {
  if (name === undefined) return;
  try {
    if (key === undefined) sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, key);
  } catch {
    // Full, forbidden or missing: costs the reload, and not the submit.
  }
}

function keptUnder(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  try {
    return sessionStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}

const PREFIX = "idempotency:form:";
