import type { Identity } from "../../../shared/idempotency/ledger.ts";
import { type Call, isGranted, nameOf, type Result } from "./call.ts";
import { type Action, type Choices, type Client, client } from "./client.ts";
import { createModel, type Model } from "./model.ts";
import { type Random, randomFrom } from "./random.ts";

/** What happens at one moment of a schedule. */
export type Event =
  /** A call reaches the ledger, which ought to answer as expected. */
  | {
    readonly kind: "call";
    readonly client: number;
    readonly version: Version;
    readonly call: Call;
    readonly expected: Result;
    /** Whether the client hears the answer. */
    readonly heard: boolean;
  }
  | { readonly kind: "clock"; readonly seconds: number }
  | { readonly kind: "purge" }
  /** The schema moves on to its next version. */
  | { readonly kind: "upgrade" }
  /** A signed-in user tries what only the project may. */
  | {
    readonly kind: "forge";
    readonly userId: string;
    readonly forgery: Forgery;
  }
  | Extract<Action, { kind: "effect" }>
  /** For people who read the schedule; nothing reaches the ledger. */
  | { readonly kind: "note"; readonly text: string };

/** Which version of the module a client is served by. */
export type Version = "old" | "new";

/** A whole run, decided by its seed before any ledger is asked. */
export interface Schedule {
  readonly seed: number;
  readonly events: readonly Event[];
  /** Of a part of a schedule: which events of the whole these are. */
  readonly numbers?: readonly number[];
}

/** What the ledger under test can do. */
export interface Surroundings {
  /** Seconds that the clock moves at least; all moves are multiples of it. */
  readonly grain: number;
  /** Whether expired keys are purged: now and then, or as soon as they expire. */
  readonly purges: "now and then" | "at once";
  /** Whether users reach it past the functions, as they reach a database. */
  readonly forges: boolean;
  /** Whether it has a schema of its own, which moves on while keys are live. */
  readonly upgrades: boolean;
}

/** What somebody tries who is not the project. */
export type Forgery =
  | { readonly kind: "call"; readonly call: Call; readonly inBatch: boolean }
  | {
    readonly kind: "resolve" | "clean up" | "insert" | "update" | "delete";
    readonly identity: Identity;
  };

interface Slot {
  running: Client | null;
  /** The message whose answer it waits for; `null` when it is at work. */
  waitsFor: number | null;
  /** What it is resumed with. */
  reply: Result | null;
  /** The moment before which it does nothing: a worker may stop and go on. */
  asleepUntil: number;
  version: Version;
}

/** Who holds a key, and by which token. */
interface Owner {
  readonly identity: Identity;
  readonly ownerToken: string;
}

interface Message {
  readonly id: number;
  readonly from: number;
  readonly version: Version;
  readonly call: Call;
}

const USERS = [
  "00000000-0000-4000-8000-00000000000a",
  "00000000-0000-4000-8000-00000000000b",
  null,
];
const SCOPES = ["orders", "refunds"];
const FINGERPRINTS = ["a".repeat(64), "b".repeat(64)];

/** The users that schedules act for, where a ledger has to know them. */
export const userIds: readonly string[] = USERS.filter((id) => id !== null);

/**
 * Makes the schedule of a seed: clients that ask, crash and are slow, and a
 * network that loses, delays, reorders and repeats what they send. Who is told
 * what is taken from the model, so the schedule is the same for every ledger
 * with these surroundings, whatever that one answers.
 */
export function createSchedule(
  seed: number,
  surroundings: Surroundings,
): Schedule {
  const random = randomFrom(seed);
  const model = createModel();
  const events: Event[] = [];
  const identities = someIdentities(random);
  let tokens = 0;
  let granted: Owner = { identity: identities[0]!, ownerToken: token(seed, 0) };
  const choices: Choices = {
    identities,
    fingerprints: FINGERPRINTS,
    newToken: () => token(seed, ++tokens),
    now: () => model.now,
  };
  const slots: Slot[] = Array.from(
    { length: 2 + random.below(7) },
    () => ({
      running: null,
      waitsFor: null,
      reply: null,
      asleepUntil: 0,
      version: "old",
    }),
  );
  const flying: Message[] = [];
  const calm = random.chance(0.2);
  let isUpgraded = false;
  let sent = 0;
  let moment = 0;

  const deliver = (message: Message) => {
    const { from, call, id } = message;
    const expected = model.apply(call);
    if (call.method === "claim" && isGranted(expected)) {
      granted = { identity: call.identity, ownerToken: call.terms.ownerToken };
    }
    const slot = slots[from]!;
    const heard = slot.waitsFor === id && (calm || random.chance(0.85));
    events.push({
      kind: "call",
      client: from,
      version: message.version,
      call,
      expected,
      heard,
    });
    if (heard) Object.assign(slot, { waitsFor: null, reply: expected });
  };

  const proceed = (from: number) => {
    const slot = slots[from]!;
    if (slot.running === null) {
      slot.running = client(random, choices);
      // Both serve: deploys take a while, and one may be taken back.
      slot.version = isUpgraded && random.chance(0.6) ? "new" : "old";
    }
    const { value, done } = slot.running.next(slot.reply);
    slot.reply = null;
    if (done) {
      slot.running = null;
    } else if (value.kind === "effect") {
      events.push(value);
    } else if (value.kind === "wait") {
      slot.asleepUntil = moment + value.moments;
    } else {
      slot.waitsFor = ++sent;
      const { version } = slot;
      flying.push({ id: sent, from, version, call: value.call });
    }
  };

  const happenings = {
    proceed() {
      const ready = [...slots.keys()].filter((n) =>
        slots[n]!.waitsFor === null && slots[n]!.asleepUntil <= moment
      );
      if (ready.length > 0) proceed(random.pick(ready));
    },
    deliver() {
      if (flying.length === 0) return;
      const at = random.chance(0.5) ? 0 : random.below(flying.length);
      // Some arrive twice: a proxy, or a retry below the client.
      const [message] = !calm && random.chance(0.05)
        ? [flying[at]!]
        : flying.splice(at, 1);
      deliver(message!);
    },
    lose() {
      if (flying.length === 0) return;
      const [{ from, call }] = flying.splice(
        random.below(flying.length),
        1,
      ) as [Message];
      events.push({
        kind: "note",
        text: `client ${from}: ${call.method} is lost on its way`,
      });
    },
    timeOut() {
      const waiting = [...slots.keys()].filter((n) =>
        slots[n]!.waitsFor !== null
      );
      if (waiting.length === 0) return;
      const from = random.pick(waiting);
      Object.assign(slots[from]!, { waitsFor: null, reply: null });
      events.push({ kind: "note", text: `client ${from} waits no longer` });
    },
    stall() {
      const working = [...slots.keys()].filter((n) => slots[n]!.running);
      if (working.length === 0) return;
      const from = random.pick(working);
      slots[from]!.asleepUntil = moment + 20 + random.below(80);
      events.push({ kind: "note", text: `client ${from} stalls` });
    },
    crash() {
      const from = random.below(slots.length);
      Object.assign(slots[from]!, {
        running: null,
        waitsFor: null,
        reply: null,
      });
      events.push({ kind: "note", text: `client ${from} crashes` });
    },
    pass: () => pass(surroundings.grain * (1 + random.below(4))),
    jump: () => pass(surroundings.grain * random.pick([-3, -1, 20, 70])),
    forge() {
      if (!surroundings.forges) return;
      events.push({
        kind: "forge",
        userId: random.pick(userIds),
        forgery: forgery(random, granted, choices.newToken),
      });
    },
    purge: () => purge(),
    upgrade() {
      if (!surroundings.upgrades || isUpgraded) return;
      isUpgraded = true;
      events.push({ kind: "upgrade" });
    },
  };
  let setBack = 0;
  const pass = (seconds: number) => {
    setBack += Math.max(0, -seconds);
    model.moveClock(seconds);
    events.push({ kind: "clock", seconds });
    if (surroundings.purges === "at once") purge();
  };
  const purge = () => {
    model.purge();
    events.push({ kind: "purge" });
  };
  const weights = calm
    ? {
      proceed: 40,
      deliver: 40,
      lose: 0,
      timeOut: 0,
      stall: 0,
      crash: 0,
      pass: 4,
      jump: 0,
      purge: 1,
      forge: 2,
      upgrade: 0.1,
    }
    : {
      proceed: 40,
      deliver: 40,
      lose: 3,
      timeOut: 6,
      stall: 4,
      crash: 2,
      pass: 10,
      jump: 1,
      purge: 2,
      forge: 2,
      upgrade: 0.1,
    };
  const length = 60 + random.below(180);
  for (; moment < length; moment++) happenings[random.weighted(weights)]();

  events.push({ kind: "note", text: "all faults end" });
  // A clock set back lets leases end as much later.
  pass(ALL_LEASES + setBack);
  settle(identities, model, events, choices);
  return { seed, events };
}

/**
 * Some events of a schedule, by their numbers: each call is expected to be
 * answered as if the others had never been.
 */
export function partOf(
  { seed, events }: Schedule,
  numbers: readonly number[],
): Schedule {
  const model = createModel();
  const part = numbers.map((number): Event => {
    const event = events[number];
    if (event === undefined) {
      throw new RangeError(
        `play event ${number} of seed ${seed}: it has ${events.length} of them`,
      );
    }
    if (event.kind === "call") {
      return { ...event, expected: model.apply(event.call) };
    }
    if (event.kind === "clock") model.moveClock(event.seconds);
    if (event.kind === "purge") model.purge();
    return event;
  });
  return { seed, events: part, numbers };
}

/** At worst the forger knows the identity, and whose token owns it. */
function forgery(
  random: Random,
  mine: Owner,
  newToken: () => string,
): Forgery {
  const { identity } = mine;
  const kind = random.weighted({
    ...{ call: 10, resolve: 2, "clean up": 1 },
    ...{ insert: 1, update: 2, delete: 2 },
  });
  if (kind !== "call") return { kind, identity };
  const body = new TextEncoder().encode("forged");
  const answer = { status: 200, headers: {}, body };
  const calls: Call[] = [
    {
      method: "claim",
      identity,
      terms: {
        fingerprint: FINGERPRINTS[0]!,
        ownerToken: newToken(),
        leaseSeconds: 35,
        ttlSeconds: 605,
        onAbandoned: "retry",
        maxAttempts: 100,
        metadata: null,
      },
    },
    { method: "renew", ...mine, leaseSeconds: 35 },
    {
      method: "checkpoint",
      ...mine,
      step: "charge",
      result: { forged: true },
      leaseSeconds: 35,
    },
    { method: "complete", ...mine, answer, ttlSeconds: 605 },
    { method: "fail", ...mine, ttlSeconds: 605 },
  ];
  return { kind, call: random.pick(calls), inBatch: random.chance(0.3) };
}

/** Longer than any lease, in a multiple of every grain. */
const ALL_LEASES = 40;

/**
 * The faults are over: nobody is under way any more and each lease has lapsed.
 * Now each key must be claimable or answer, then be completed, then replay.
 */
function settle(
  identities: readonly Identity[],
  model: Model,
  events: Event[],
  choices: Choices,
): void {
  const send = (call: Call): Result => {
    const expected = model.apply(call);
    events.push({
      kind: "call",
      client: -1,
      version: "old",
      call,
      expected,
      heard: true,
    });
    return expected;
  };
  for (const identity of identities) {
    for (const fingerprint of FINGERPRINTS) {
      const ownerToken = choices.newToken();
      const claim: Call = {
        method: "claim",
        identity,
        terms: {
          fingerprint,
          ownerToken,
          leaseSeconds: 15,
          ttlSeconds: 605,
          onAbandoned: "retry",
          // More than may have crashed: an operator lets a parked key go on.
          maxAttempts: 100,
          metadata: null,
        },
      };
      if (isGranted(send(claim))) {
        events.push({ kind: "effect", identity, ownerToken, step: null });
        const body = new TextEncoder().encode(`done by ${ownerToken}`);
        send({
          method: "complete",
          identity,
          ownerToken,
          answer: { status: 200, headers: {}, body },
          ttlSeconds: 605,
        });
      }
      send({
        ...claim,
        terms: { ...claim.terms, ownerToken: choices.newToken() },
      });
    }
    send({ method: "read", identity });
  }
}

function someIdentities(random: Random): Identity[] {
  const keys = Array.from(
    { length: 1 + random.below(3) },
    (_, n) => `key-${n}`,
  );
  const all = USERS.flatMap((userId) =>
    SCOPES.flatMap((scope) => keys.map((key) => ({ userId, scope, key })))
  );
  // The same key of others has to be there often, for theirs to be mistaken
  // for it; but few enough that most clients meet.
  const first = random.below(all.length);
  return Array.from(
    { length: 1 + random.below(4) },
    (_, n) => all[(first + n * keys.length) % all.length]!,
  ).filter((identity, n, list) =>
    list.findIndex((other) => nameOf(other) === nameOf(identity)) === n
  );
}

function token(seed: number, n: number): string {
  const hex = (value: number, digits: number) =>
    value.toString(16).padStart(digits, "0");
  return `${hex(seed >>> 0, 8)}-0000-4000-8000-${hex(n, 12)}`;
}
