import fc from "fast-check";
import { fingerprintRequest } from "../../../shared/idempotency.ts";
import { type Random, randomFrom } from "../simulation/random.ts";
import { Tally, type TrialLimits } from "../trial.ts";
import { edited, edits, oddJson } from "./odd.ts";

// So that the clock is not asked for each.
const BATCH = 50;

/** Takes fingerprints of JSON that means the same, and of JSON that does not. */
export async function compareFingerprints(
  { seed, seconds }: TrialLimits,
): Promise<readonly Tally[]> {
  const same = new Tally("JSON that means the same has one fingerprint");
  const other = new Tally("JSON that means something else has another one");
  const ignored = new Tally("a field that is ignored does not count");
  const until = performance.now() + seconds * 1000;
  for (let number = 0; performance.now() < until; number += BATCH) {
    const cases = fc.sample(fc.tuple(json, edits, fc.nat()), {
      seed: seed + number,
      numRuns: BATCH,
    });
    for (const [text, changes, choice] of cases) {
      const report = (...texts: string[]) => () =>
        `seed ${seed + number}\n${texts.join("\n").slice(0, 2_000)}`;
      const print = await fingerprint(text);
      const meaning = meaningOf(text);
      const changed = edited(JSON.parse(text), changes);
      const random = randomFrom(choice);
      for (
        const next of [respelt(text, random), changed].filter(isComparable)
      ) {
        const isSame = meaningOf(next) === meaning;
        const isEqual = await fingerprint(next) === print;
        const seen = report(text, next);
        if (!isSame) other.count(!isEqual, seen);
        // What a double does not hold is compared as it is written.
        else if (isExact(text) && isExact(next)) same.count(isEqual, seen);
      }
      const sent = [1, 2].map((n) => `{"sentAt":${n},"of":${text}}`);
      const [first, second] = await Promise.all(
        sent.map((text) => fingerprint(text, ["/sentAt"])),
      );
      ignored.count(first === second, report(...sent));
    }
  }
  return [same, other, ignored];
}

const json = fc.oneof(
  oddJson,
  fc.json({ maxDepth: 4, stringUnit: "binary" }),
  fc.tuple(fc.json({ maxDepth: 2 }), edits)
    .map(([text, changes]) => edited(JSON.parse(text), changes)),
).filter(isComparable);

// What is longer or deeper is compared by its bytes.
const LONGEST = 10_000;
const DEEP = /\[{500}|(?:\{"a":){500}/;

function isComparable(text: string): boolean {
  if (text.length > LONGEST || DEEP.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function fingerprint(
  body: string,
  ignoreFields: readonly string[] = [],
): Promise<string> {
  const request = new Request("http://127.0.0.1/orders", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    // Half a pair has no bytes; as an escape it has.
    body: body.toWellFormed(),
  });
  return fingerprintRequest(request, { ignoreFields });
}

/**
 * What a JSON text means: names in order, numbers by what they are worth to the
 * last digit.
 */
function meaningOf(text: string): string {
  const parse = JSON.parse as (
    text: string,
    reviver: (
      this: unknown,
      name: string,
      value: unknown,
      context: { source?: string },
    ) => unknown,
  ) => unknown;
  const value = parse(text, (_name, value, { source }) => {
    if (typeof value === "number") return `n${worth(source!)}`;
    if (typeof value === "string") return `s${value}`;
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return ["a", ...value];
    return [
      "o",
      ...Object.entries(value).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0),
    ];
  });
  return JSON.stringify(value);
}

/** The digits of a decimal and where its point is. */
function worth(source: string): string {
  const [, sign, whole, fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([-+]?\d+))?$/i.exec(source)!;
  const digits = BigInt(whole! + fraction);
  if (digits === 0n) return "0";
  const bare = `${digits}`.replace(/0+$/, "");
  const zeros = `${digits}`.length - bare.length;
  return `${sign}${bare}e${
    BigInt(exponent) - BigInt(fraction.length) + BigInt(zeros)
  }`;
}

function isExact(text: string): boolean {
  let isExact = true;
  const see = (_: string, value: unknown, { source }: { source?: string }) => {
    if (typeof value !== "number") return value;
    isExact &&= Number.isFinite(value) &&
      worth(source!) === worth(JSON.stringify(value));
    return value;
  };
  (JSON.parse as (text: string, see: unknown) => unknown)(text, see);
  return isExact;
}

/** The same JSON with other spaces, escapes, numbers and order of members. */
function respelt(text: string, random: Random): string {
  const space = () => random.chance(0.2) ? random.pick([" ", "\n", "\t"]) : "";
  const write = (value: unknown): string =>
    `${space()}${spell(value)}${space()}`;
  const spell = (value: unknown): string => {
    if (typeof value === "string") return spellText(value, random);
    if (Array.isArray(value)) return `[${value.map(write).join()}]`;
    if (typeof value !== "object" || value === null) {
      return JSON.stringify(value);
    }
    if (value instanceof NumberText) return spellNumber(value.source, random);
    const members = Object.entries(value).map(([name, value]) =>
      `${space()}${spellText(name, random)}:${write(value)}`
    );
    // Not shuffled evenly, but otherwise.
    return `{${members.sort(() => random.chance(0.5) ? 1 : -1).join()}}`;
  };
  const parsed = (JSON.parse as (text: string, see: unknown) => unknown)(
    text,
    (_: string, value: unknown, { source }: { source?: string }) =>
      typeof value === "number" ? new NumberText(source!) : value,
  );
  return write(parsed);
}

/** A number as it is written. */
class NumberText {
  constructor(readonly source: string) {}
}

function spellText(text: string, random: Random): string {
  const spelt = Array.from({ length: text.length }, (_, at) => {
    const unit = text.charCodeAt(at);
    return random.chance(0.1)
      ? `\\u${unit.toString(16).padStart(4, "0")}`
      : JSON.stringify(text[at]).slice(1, -1);
  });
  // Each unit was spelt by itself; halves of one pair belong together.
  return `"${spelt.join("")}"`;
}

function spellNumber(source: string, random: Random): string {
  const hasExponent = /e/i.test(source);
  return random.chance(0.3)
    ? source
    : hasExponent
    ? source.replace(/e\+?/i, "E")
    : source.includes(".")
    ? `${source}0`
    : random.pick([`${source}.0`, `${source}e0`, `${source}0e-1`]);
}
