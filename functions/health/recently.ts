/**
 * Lets callers share a result: whoever asks while it is being found out, or
 * within `reusedMs` after, gets the same. An error is shared, not kept.
 *
 * @param reusedMs How long a result is good for, in ms.
 */
export function recently<Input, Output>(
  findOut: (input: Input) => Promise<Output>,
  reusedMs: number,
  now: () => number = () => performance.now(),
): (input: Input) => Promise<Output> {
  let latest: Promise<Output> | undefined;
  let goodUntil = 0;

  const find = async (input: Input): Promise<Output> => {
    goodUntil = Infinity;
    try {
      const result = await findOut(input);
      goodUntil = now() + reusedMs;
      return result;
    } catch (error) {
      goodUntil = 0;
      throw error;
    }
  };

  return (input) => {
    if (latest === undefined || now() >= goodUntil) latest = find(input);
    return latest;
  };
}
