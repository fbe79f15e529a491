/**
 * How many cases a property is tried with: all of them on Postgres, a third on
 * the embedded database, where the same SQL takes three times as long.
 */
export function runs(count: number): number {
  return Deno.env.get("STACK") === "postgres" ? count : Math.ceil(count / 3);
}
