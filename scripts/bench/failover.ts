import type {
  ClaimTerms,
  Identity,
  Ledger,
} from "../../shared/idempotency/ledger.ts";

/** What a failover did to keys, by asking for each of them again. */
export interface Toll {
  /** Keys whose handler ran: the ledger had granted them. */
  readonly ran: number;
  /** Of these, how many clients were told an answer that was recorded. */
  readonly told: number;
  /** Told answers that no retry gets: it runs again, or is refused. */
  readonly lostAnswers: number;
  /**
   * Keys that ran and that the ledger knows nothing of: a retry runs them
   * again, even with `onAbandoned: "refuse"`.
   */
  readonly forgotten: number;
  /** Keys that ran and that `onAbandoned: "refuse"` keeps for an operator. */
  readonly held: number;
  /** The longest time between two answers of the ledger, in ms. */
  readonly outageMs: number;
  /** Answers a second until the failover. */
  readonly rate: number;
}

/** Keys on their way through a ledger. */
export interface Load {
  /** How many answers have been told so far. */
  readonly told: number;
  /** How long ago a ledger last answered, in ms. */
  readonly silenceMs: number;
  /** Marks the moment of the failover. */
  strike(): void;
  /** Ends it, and asks for each key again. */
  settle(): Promise<Toll>;
}

const LEASE_SECONDS = 1;
const ANSWER = {
  status: 201,
  headers: { "content-type": "application/json" },
  body: new TextEncoder().encode("x".repeat(300)),
};

interface Entry {
  readonly identity: Identity;
  told: boolean;
}

function terms(): ClaimTerms {
  return {
    fingerprint: "a".repeat(64),
    ownerToken: crypto.randomUUID(),
    leaseSeconds: LEASE_SECONDS,
    ttlSeconds: 86_400,
    onAbandoned: "refuse",
    maxAttempts: 5,
    metadata: null,
  };
}

/**
 * Claims and completes new keys, many at once, until it is told to stop. The
 * handler's effect takes no time.
 *
 * @param ledger What clients use, before the failover and after.
 * @param atOnce How many.
 */
export function load(ledger: Ledger, atOnce: number): Load {
  const entries: Entry[] = [];
  const startedAt = performance.now();
  let [keys, told, outageMs, rate] = [0, 0, 0, 0];
  let answeredAt = startedAt;
  let isOver = false;
  const answered = () => {
    const now = performance.now();
    outageMs = Math.max(outageMs, now - answeredAt);
    answeredAt = now;
  };

  const lane = async () => {
    while (!isOver) {
      const key = `key-${++keys}`;
      const identity = { userId: null, scope: "failover", key };
      const { ownerToken, ...rest } = terms();
      try {
        const claimed = await ledger.claim(identity, { ownerToken, ...rest });
        if (claimed.outcome !== "claimed") continue;
        const entry: Entry = { identity, told: false };
        entries.push(entry);
        const { outcome } = await ledger
          .complete(identity, ownerToken, ANSWER, rest.ttlSeconds);
        entry.told = outcome === "recorded";
        if (entry.told) told += 1;
        answered();
      } catch {
        // Its client knows nothing, and asks again: when everything is over.
        await pause();
      }
    }
  };
  const lanes = Promise.all(Array.from({ length: atOnce }, lane));

  return {
    get told() {
      return told;
    },
    get silenceMs() {
      return performance.now() - answeredAt;
    },
    strike() {
      rate = told * 1000 / (performance.now() - startedAt);
    },
    async settle() {
      isOver = true;
      await lanes;
      const counts = { replay: 0, claimed: 0, abandoned: 0 };
      let lostAnswers = 0;
      const queue = [...entries];
      await Promise.all(Array.from({ length: atOnce }, async () => {
        for (let next = queue.pop(); next; next = queue.pop()) {
          const outcome = await asked(ledger, next.identity);
          counts[outcome] += 1;
          if (next.told && outcome !== "replay") lostAnswers += 1;
        }
      }));
      return {
        ran: entries.length,
        told,
        lostAnswers,
        forgotten: counts.claimed,
        held: counts.abandoned,
        outageMs: Math.round(outageMs),
        rate: Math.round(rate),
      };
    },
  };
}

/** What somebody who comes much later is told about a key. */
async function asked(
  ledger: Ledger,
  identity: Identity,
): Promise<"replay" | "claimed" | "abandoned"> {
  for (;;) {
    try {
      const { outcome } = await ledger.claim(identity, terms());
      switch (outcome) {
        case "replay":
        case "claimed":
        case "abandoned":
          return outcome;
      }
    } catch {
      // It may still be on its way up.
    }
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}
