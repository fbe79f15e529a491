import { type Failure, isSound, play, type Subject } from "./play.ts";
import { partOf, type Schedule } from "./schedule.ts";

/**
 * Leaves out of a failing schedule what its failure does not need: without any
 * one of the events that are left, the ledger passes. The report ends with how
 * to play them again.
 *
 * A schedule that fails only now and then, or hangs, comes back as it was.
 */
export async function shrink(
  found: Failure,
  subject: Subject,
): Promise<Failure> {
  if (found.hangs) {
    return withHint(found, "Made no shorter: each try might hang.", subject);
  }
  const whole = found.schedule;
  const all = whole.events.map((_, number) => number);
  let shortest = await failureOf(whole, all.slice(0, found.at + 1), subject);
  if (shortest === null) {
    return withHint(found, "It passed when it was played again.", subject);
  }
  let numbers = numbersUpTo(shortest);
  // Halves, then quarters, until events leave one by one and none does any more.
  for (let size = Math.ceil(numbers.length / 2); size >= 1;) {
    let hasLeft = false;
    for (let from = numbers.length - size; from > -size; from -= size) {
      const rest = numbers.toSpliced(
        Math.max(0, from),
        size + Math.min(0, from),
      );
      const failure = await failureOf(whole, rest, subject);
      if (failure === null) continue;
      shortest = failure;
      numbers = numbersUpTo(failure);
      from = Math.min(from, numbers.length);
      hasLeft = true;
    }
    if (size === 1 && !hasLeft) break;
    size = Math.max(1, Math.floor(size / 2));
  }
  return withHint(
    shortest,
    `${numbers.length} of ${all.length} events are enough.`,
    subject,
  );
}

async function failureOf(
  whole: Schedule,
  numbers: readonly number[],
  subject: Subject,
): Promise<Failure | null> {
  if (numbers.length === 0) return null;
  const part = partOf(whole, numbers);
  // What is left may be nothing that clients do, such as to fail after the effect.
  return isSound(part) ? await play(part, subject) : null;
}

/** The events up to the failure that something came of. */
function numbersUpTo({ schedule, at }: Failure): number[] {
  return schedule.numbers!.slice(0, at + 1)
    .filter((_, n) => schedule.events[n]!.kind !== "note");
}

function withHint(
  failure: Failure,
  found: string,
  { name }: Subject,
): Failure {
  const { seed, numbers } = failure.schedule;
  const events = numbers === undefined ? "" : ` --events ${numbers.join(",")}`;
  const again =
    `deno task simulate --ledger ${name} --schedules 1 --seed ${seed}${events}`;
  return { ...failure, report: `${failure.report}\n${found} Again: ${again}` };
}
