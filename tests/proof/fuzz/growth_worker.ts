/**
 * One isolate that sees key after key, as `growth.ts` runs it: prints how many
 * there were and what the heap holds after a collection, line by line.
 *
 * @module
 */
import postgres from "postgres";
import { memoryLedger } from "../../../shared/idempotency.ts";
import { postgresLedger } from "../../../shared/idempotency/postgres_ledger.ts";
import { formsOn } from "./forms_target.ts";

declare const gc: () => void;

const [seconds, leastKeys, url] = Deno.args;
const BETWEEN_LOOKS = 250;
const AT_ONCE = 50;
const CONNECTIONS = 10;
// A user may hold 10,000 live keys.
const KEYS_OF_ONE_USER = 1_000;
// So that a ledger in memory forgets what is a minute of its clock ago.
const TTL_SECONDS = 60;
const SECOND_MS = 1_000;

let keys = 0;
const sql = url === undefined ? undefined : postgres(url, {
  max: CONNECTIONS,
  onnotice: () => {},
});
const store = sql === undefined
  ? memoryLedger({ now: () => keys * SECOND_MS })
  : postgresLedger(sql);
const forms = Object.values(formsOn(store, TTL_SECONDS));

/** First runs, replays, duplicates, another payload, and who hangs up. */
async function useKey(number: number): Promise<void> {
  const ask = forms[number % forms.length]!;
  const send = async (body: string) => {
    const answer = await ask(
      new Request(`http://127.0.0.1/orders`, {
        method: "POST",
        headers: {
          "Idempotency-Key": `key-${number}`,
          "Content-Type": "application/json",
          "X-User": `user-${Math.floor(number / KEYS_OF_ONE_USER)}`,
        },
        body,
      }),
    );
    if (number % 3 === 0) await answer.body?.cancel();
    else await answer.arrayBuffer();
  };
  const body = JSON.stringify({ note: "x".repeat(number % 50) });
  await Promise.all([send(body), send(body)]);
  await send(body);
  await send(`[${body}]`);
}

const until = performance.now() + Number(seconds) * SECOND_MS;
while (performance.now() < until || keys < Number(leastKeys)) {
  for (let looked = 0; looked < BETWEEN_LOOKS; looked += AT_ONCE) {
    await Promise.all(
      Array.from({ length: AT_ONCE }, () => useKey(keys++)),
    );
  }
  gc();
  console.log(JSON.stringify({ keys, heap: Deno.memoryUsage().heapUsed }));
}
await sql?.end();
