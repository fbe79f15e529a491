/**
 * Sets variables of this process, which is where functions read theirs from, and
 * answers how to put back what was there.
 */
export function setEnvironment(
  variables: Record<string, string | undefined>,
): () => void {
  const before = Object.keys(variables).map((name) =>
    [name, Deno.env.get(name)] as const
  );
  const set = (name: string, value: string | undefined) =>
    value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  for (const [name, value] of Object.entries(variables)) set(name, value);
  return () => {
    for (const [name, value] of before) set(name, value);
  };
}
