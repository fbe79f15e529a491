import { assertEquals } from "@std/assert";
import type { CallAnswer } from "../support/call.ts";
import { unique } from "../support/probe.ts";

/**
 * What every guide promises: the first call has its effect, a retry is the same
 * answer and no effect, and of four at once one has it.
 *
 * @param call Sends a request; what it sends depends on the name alone.
 * @param effects How often it took effect under that name.
 */
export async function takesEffectOnce(
  call: (name: string) => Promise<CallAnswer>,
  effects: (name: string) => Promise<number>,
): Promise<void> {
  const name = unique("one");
  const first = await call(name);
  assertEquals(
    [Math.floor(first.status / 100), first.replayed],
    [2, false],
    JSON.stringify(first.body),
  );
  const retry = await call(name);
  assertEquals([retry.status, retry.replayed], [first.status, true]);
  assertEquals(retry.body, first.body);
  assertEquals(await effects(name), 1);

  const crowd = unique("crowd");
  const answers = await Promise.all([1, 2, 3, 4].map(() => call(crowd)));
  assertEquals(await effects(crowd), 1);
  const ran = answers.filter(({ status, replayed }) =>
    status < 300 && !replayed
  );
  assertEquals(ran.length, 1);
  for (const { status, replayed, body } of answers) {
    if (replayed) assertEquals(body, ran[0]!.body);
    else if (status >= 300) {
      assertEquals([status, body.code], [409, "REQUEST_IN_PROGRESS"]);
    }
  }
}
