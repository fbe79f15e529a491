/**
 * A worker to be killed: performs operations, several at once, and tells the
 * answers that its clients would have got, one a line.
 * Arguments: database URL, seed, start of the run in ms since the epoch.
 *
 * @module
 */
import postgres from "postgres";
import { IdempotencyError } from "../../../shared/idempotency/errors.ts";
import { randomFrom } from "../simulation/random.ts";
import { MODES, operate } from "./operations.ts";

const AT_ONCE = 4;
// New keys come as time goes by, and for a moment many want the same one.
const MS_PER_KEY = 40;
const KEYS_AT_ONCE = 8;
const MOST_PAUSE_MS = 25;

const [url, seed, start] = Deno.args as [string, string, string];
const random = randomFrom(Number(seed));
const sql = postgres(url, { max: AT_ONCE });
const output = new TextEncoder();

const pause = () =>
  new Promise<void>((resolve) =>
    setTimeout(resolve, random.below(MOST_PAUSE_MS))
  );

async function client(): Promise<never> {
  for (;;) {
    const mode = random.pick(MODES);
    const newest = Math.floor((Date.now() - Number(start)) / MS_PER_KEY);
    const key = `key-${newest + random.below(KEYS_AT_ONCE)}`;
    try {
      const body = await operate(sql, mode, key, pause);
      if (body !== null) tell({ mode, key, body });
    } catch (error) {
      // Refused: somebody else is at it, or it is not known what was done.
      if (!(error instanceof IdempotencyError)) tell({ error: `${error}` });
    }
    await pause();
  }
}

/** At once and whole: a line that was written is an answer that was sent. */
function tell(line: object): void {
  Deno.stdout.writeSync(output.encode(`${JSON.stringify(line)}\n`));
}

await Promise.all(Array.from({ length: AT_ONCE }, client));
