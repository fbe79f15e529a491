/**
 * A worker of an instance: performs operations, several at once, and tells what
 * its clients ask and hear, one a line. What it does is in the message with
 * which it is started.
 *
 * @module
 */
import { randomFrom } from "../simulation/random.ts";
import { connect, type Mode, operate } from "./operations.ts";

/** What a worker is to do. */
export interface Work {
  /** Of the ledger. */
  readonly url: string;
  /** Of the provider. */
  readonly provider: string;
  readonly seed: number;
  /** What the names of its keys begin with. */
  readonly prefix: string;
  /** When the first of these keys was asked for, in ms since the epoch. */
  readonly startedAt: number;
}

/** What it says, a line each. */
export type Line =
  /** Before it asks. */
  | { readonly mode: Mode; readonly key: string }
  /** An answer that is kept. */
  | { readonly mode: Mode; readonly key: string; readonly body: string }
  /** What it cannot make sense of. */
  | { readonly error: string };

const AT_ONCE = 4;
// New keys come as time goes by, and for a moment many want the same one.
const MS_PER_KEY = 40;
const KEYS_AT_ONCE = 8;
const MOST_PAUSE_MS = 25;

const REFUSALS =
  /^(unmarked 201|REQUEST_IN_PROGRESS|OUTCOME_UNKNOWN|LEDGER_UNAVAILABLE)$/;

const output = new TextEncoder();

async function work({ url, provider, seed, prefix, startedAt }: Work) {
  const random = randomFrom(seed);
  const access = await connect(url);
  const pause = () =>
    new Promise<void>((resolve) =>
      setTimeout(resolve, random.below(MOST_PAUSE_MS))
    );
  const client = async () => {
    for (;;) {
      const mode = random.pick(access.modes);
      const newest = Math.floor((Date.now() - startedAt) / MS_PER_KEY);
      const key = `${prefix}-${newest + random.below(KEYS_AT_ONCE)}`;
      tell({ mode, key });
      try {
        const heard = await operate(access, provider, { mode, key }, pause);
        if ("body" in heard) tell({ mode, key, body: heard.body });
        else if (!REFUSALS.test(heard.refused)) {
          tell({ error: `${mode} ${key}: ${heard.refused}` });
        }
      } catch (error) {
        const { name, code } = error as { name: string; code?: string };
        // What the handler threw: a step could not be kept.
        if (name !== "LeaseLostError" && code !== "LEDGER_UNAVAILABLE") {
          tell({ error: `${mode} ${key}: ${error}` });
        }
      }
      await pause();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
}

/** At once and whole: a line that was written is an answer that was sent. */
function tell(line: Line): void {
  Deno.stdout.writeSync(output.encode(`${JSON.stringify(line)}\n`));
}

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Work>) => void;
};
scope.onmessage = ({ data }) => work(data);
