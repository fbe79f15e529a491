/**
 * A worker of its own, to be stalled or killed: it runs the operation of one key
 * and prints what came of it. `worker.ts URL MODE KEY`.
 *
 * @module
 */
import postgres from "postgres";
import {
  postgresLedger,
  withIdempotency,
} from "../../../shared/idempotency.ts";

const [url, mode, key] = Deno.args as [string, "block" | "crash", string];
const sql = postgres(url, { max: 2 });
const events: string[] = [];

/** Keeps the event loop busy: no renewal leaves this worker meanwhile. */
function compute(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

const outcome = await withIdempotency(
  {
    store: postgresLedger(sql),
    userId: null,
    route: "attempts",
    key,
    leaseSeconds: 1,
    maxAttempts: 3,
    onEvent: ({ outcome }) => void events.push(outcome),
  },
  async ({ attempt, step }) => {
    await sql`insert into public.fault_effects values (${`attempts/${key}`})`;
    await step("charge", () => ({ attempt }));
    if (mode === "crash") Deno.exit(1);
    console.log("blocked");
    compute(3_000);
    return { status: 200, body: { by: "the one that stalled" } };
  },
);
// Events are told once their key is hashed.
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify({ ...outcome, events }));
await sql.end();
