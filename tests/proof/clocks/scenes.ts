import type postgres from "postgres";
import type { Ledger } from "../../../shared/idempotency.ts";
import { postgresLedger } from "../../../shared/idempotency.ts";
import type { Random } from "../simulation/random.ts";
import { Tally } from "../trial.ts";
import type { FakedClock } from "./faked_clock.ts";

const HOUR = 3600;
// Of what is claimed in a scene: far more than a scene takes, far less than the
// clock jumps.
const LEASE_SECONDS = 300;
const FARTHEST = 12 * HOUR;
const MOST_PAUSE_MS = 100;
const MOST_WAIT_MS = 30_000;
const PAGE = new URL("../../../docs/operating.md", import.meta.url);

/** What becomes of single keys when the database's clock is set. */
export class Scenes {
  readonly tallies = {
    early: new Tally(
      "a lease that a jump ends early is the policy's to decide",
    ),
    renewed: new Tally(
      "a living attempt whose lease a jump ended keeps its key",
    ),
    recorded: new Tally("an answer recorded after a jump is replayed"),
    expired: new Tally("a key that a jump let expire starts anew"),
    freed: new Tally(
      "after a jump back the statement in operating.md frees keys",
    ),
    late: new Tally("a living attempt outlasts a jump back"),
    statistics: new Tally("statistics go on after a jump back"),
    durations: new Tally("no duration is negative"),
  };
  readonly #ledger: Ledger;
  readonly #sql: postgres.Sql;
  readonly #clock: FakedClock;
  readonly #random: Random;
  readonly #remedy: string;
  #keys = 0;

  constructor(sql: postgres.Sql, clock: FakedClock, random: Random) {
    this.#sql = sql;
    this.#ledger = postgresLedger(sql);
    this.#clock = clock;
    this.#random = random;
    const [, section] = Deno.readTextFileSync(PAGE)
      .split("## When the database's clock is set");
    this.#remedy = /```sql\n(.*?)```/s.exec(section!)![1]!;
  }

  /** Plays each of them, in any order, and puts the clock anywhere after each. */
  async play(): Promise<void> {
    const scenes = [
      () => this.#forward("retry"),
      () => this.#forward("refuse"),
      () => this.#renew(),
      () => this.#record(),
      () => this.#expire(),
      () => this.#back(),
      () => this.#outlast(),
      () => this.#count(),
      () => this.#sql`select public.cleanup_expired_idempotency_keys()`,
    ];
    while (scenes.length > 0) {
      await scenes.splice(this.#random.below(scenes.length), 1)[0]!();
      this.#clock.set(this.#random.below(2 * FARTHEST) - FARTHEST);
      await sleep(this.#random.below(MOST_PAUSE_MS));
    }
  }

  /** Any moment that lies far enough ahead of others to let leases end. */
  #someHours(): number {
    return HOUR + this.#random.below(FARTHEST - HOUR);
  }

  #key(ttlSeconds = 30 * 24 * HOUR, onAbandoned: "retry" | "refuse" = "retry") {
    const identity = {
      userId: null,
      scope: "scene",
      key: `scene-${this.#keys++}`,
    };
    const terms = {
      fingerprint: "a".repeat(64),
      leaseSeconds: LEASE_SECONDS,
      ttlSeconds,
      onAbandoned,
      maxAttempts: 5,
      metadata: null,
    };
    const ledger = this.#ledger;
    const body = new TextEncoder().encode(identity.key);
    return {
      claim: async (ownerToken: string) =>
        (await ledger.claim(identity, { ...terms, ownerToken })).outcome,
      renew: async (ownerToken: string) =>
        (await ledger.renew(identity, ownerToken, LEASE_SECONDS)).outcome,
      complete: async (ownerToken: string) =>
        (await ledger.complete(
          identity,
          ownerToken,
          { status: 200, headers: {}, body },
          ttlSeconds,
        )).outcome,
    };
  }

  async #forward(policy: "retry" | "refuse"): Promise<void> {
    const [one, other, third] = owners();
    const key = this.#key(undefined, policy);
    this.#clock.set(0);
    const heard: string[] = [await key.claim(one)];
    this.#clock.set(this.#someHours());
    heard.push(await key.claim(other));
    if (policy === "retry") heard.push(await key.complete(other));
    heard.push(await key.complete(one), await key.claim(third));
    expect(
      this.tallies.early,
      heard,
      policy === "retry"
        ? ["claimed", "taken_over", "recorded", "replay", "replay"]
        : ["claimed", "abandoned", "recorded", "replay"],
    );
  }

  async #renew(): Promise<void> {
    const [one, other] = owners();
    const key = this.#key();
    this.#clock.set(0);
    const heard: string[] = [await key.claim(one)];
    this.#clock.set(this.#someHours());
    heard.push(
      await key.renew(one),
      await key.claim(other),
      await key.complete(one),
    );
    expect(this.tallies.renewed, heard, [
      "claimed",
      "recorded",
      "in_progress",
      "recorded",
    ]);
  }

  async #record(): Promise<void> {
    const [one, other] = owners();
    const key = this.#key(HOUR / 2);
    this.#clock.set(0);
    const heard: string[] = [await key.claim(one)];
    this.#clock.set(this.#someHours());
    heard.push(await key.complete(one), await key.claim(other));
    expect(this.tallies.recorded, heard, ["claimed", "recorded", "replay"]);
  }

  async #expire(): Promise<void> {
    const [one, other] = owners();
    const key = this.#key(HOUR / 2);
    this.#clock.set(0);
    const heard: string[] = [await key.claim(one), await key.complete(one)];
    this.#clock.set(this.#someHours());
    heard.push(await key.claim(other), await key.complete(one));
    expect(this.tallies.expired, heard, [
      "claimed",
      "recorded",
      "claimed",
      "gone",
    ]);
  }

  /** Whoever claimed dies, and the clock is put right. */
  async #back(): Promise<void> {
    const [one, other, third] = owners();
    const key = this.#key();
    this.#clock.set(this.#someHours());
    const heard: string[] = [await key.claim(one)];
    this.#clock.set(0);
    heard.push(await key.claim(other));
    await this.#sql.unsafe(this.#remedy);
    // as time goes by
    this.#clock.set(LEASE_SECONDS);
    heard.push(await key.claim(third));
    expect(this.tallies.freed, heard, ["claimed", "in_progress", "taken_over"]);
  }

  async #outlast(): Promise<void> {
    const [one, other] = owners();
    const key = this.#key();
    this.#clock.set(this.#someHours());
    const heard: string[] = [await key.claim(one)];
    this.#clock.set(0);
    if (this.#random.chance(0.5)) await this.#sql.unsafe(this.#remedy);
    heard.push(
      await key.renew(one),
      await key.claim(other),
      await key.complete(one),
      await key.claim(other),
    );
    expect(this.tallies.late, heard, [
      "claimed",
      "recorded",
      "in_progress",
      "recorded",
      "replay",
    ]);
    await this.#look();
  }

  async #count(): Promise<void> {
    this.#clock.set(this.#someHours());
    await this.#sql`select public.idempotency_refresh_statistics()`;
    this.#clock.set(0);
    const [{ latest }] = await this.#sql<[{ latest: number }]>`
      select last_value::float8 as latest from idempotency.fence_seq`;
    const deadline = performance.now() + MOST_WAIT_MS;
    let counted = 0;
    while (counted < latest && performance.now() < deadline) {
      await this.#sql`select public.idempotency_refresh_statistics()`;
      const [rollup] = await this.#sql<[{ counted: number }]>`
        select counted_fence::float8 as counted from idempotency.rollup`;
      counted = rollup.counted;
      await sleep(120);
    }
    this.tallies.statistics.count(
      counted >= latest,
      () => `counted up to ${counted} of ${latest}`,
    );
  }

  async #look(): Promise<void> {
    const rows = await this.#sql<Record<string, number | null>[]>`
      select duration_p50_ms, duration_p95_ms, oldest_processing_seconds
      from public.v_idempotency_stats`;
    for (const row of rows) {
      this.tallies.durations.count(
        Object.values(row).every((value) => value === null || value >= 0),
        () => JSON.stringify(row),
      );
    }
  }
}

function owners(): [string, string, string] {
  return [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
}

function expect(tally: Tally, heard: string[], expected: string[]): void {
  tally.count(
    heard.join() === expected.join(),
    () => `heard ${heard.join(", ")} instead of ${expected.join(", ")}`,
  );
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
