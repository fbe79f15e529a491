import fc from "fast-check";

// What has broken programs like this one: not of the right type, at an edge of
// what a type or a column holds, or read differently by two who read it.

const LONG = "x".repeat(70_000);

const TEXTS = [
  "",
  " ",
  "\u0000",
  "a\u0000b",
  "\ud800",
  "x\udfff",
  "\ufeffx",
  "\u202eabc",
  "é\u0301",
  "\u0130",
  "😀",
  "😀".repeat(150),
  "x".repeat(201),
  "x".repeat(2_001),
  LONG,
  "__proto__",
  "constructor",
  "toString",
  "NaN",
  "Infinity",
  "null",
  "'; drop table x; --",
  "\\",
  '"',
  "%00",
  "%s%n",
  "{}",
  "{1,2}",
  "1,2",
  "(a,b)",
  "..",
  "../../etc/passwd",
  "http://127.0.0.1:9/",
  "<script>",
  "${7*7}",
  "true",
  "0x10",
  "1e3",
  "00000000-0000-0000-0000-000000000000",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "{00000000-0000-4000-8000-000000000000}",
  "0000-01-01",
  "0001-01-01",
  "9999-12-31",
  "2024-02-30",
  "-0001-01-01",
  "10000-01-01",
  "now",
  "infinity",
  "0000-01-01T00:00:00Z",
  "0001-01-01T00:00:00+23:59",
  "9999-12-31T23:59:59.999999999Z",
  "9999-12-31T23:59:59-23:59",
  "2024-06-30T23:59:60Z",
  "2024-01-01T24:00:00Z",
  "2024-01-01T00:00:00.0000000000000000001Z",
  "2024-01-01T00:00Z",
];

const NUMBERS = [
  ...["0", "-0", "-1", "1", "0.5", "1.0", "1e2", "1e-2", "1e400", "-1e400"],
  ...["1e-400", "1e21", "32768", "2147483647", "2147483648", "-2147483649"],
  ...["4294967296", "9007199254740991", "9007199254740993"],
  ...["9223372036854775807", "9223372036854775808", "1".repeat(400)],
  ...["0.1000000000000000055511151231257827", "1e1000000000"],
];

function nested(depth: number, [open, close]: readonly [string, string]) {
  return `${open.repeat(depth)}1${close.repeat(depth)}`;
}

const SHAPES = [
  ...["null", "true", "false", "[]", "{}", "[[]]", "[null]", '[1,"a",{}]'],
  '{"__proto__":{"a":1}}',
  '{"constructor":{"prototype":{"a":1}}}',
  '{"a":1,"a":2}',
  '{"":1}',
  '{"\\u0000":1}',
  '{"\\ud800":1}',
  '{"toJSON":1}',
  nested(900, ["[", "]"]),
  nested(1_100, ["[", "]"]),
  nested(10_000, ["[", "]"]),
  nested(5_000, ['{"a":', "}"]),
  `[${"1,".repeat(30_000)}1]`,
  `{${Array.from({ length: 5_000 }, (_, n) => `"k${n}":1`).join()}}`,
];

/** Texts that are hard on whoever keeps them. */
export const oddText: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...TEXTS) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
);

/** JSON, as it is written, that is hard on whoever reads it. */
export const oddJson: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: oddText.map((text) => JSON.stringify(text)) },
  { weight: 3, arbitrary: fc.constantFrom(...NUMBERS) },
  { weight: 2, arbitrary: fc.constantFrom(...SHAPES) },
  { weight: 1, arbitrary: fc.json({ maxDepth: 3 }) },
);

/** Bodies that are no JSON, or not in UTF-8. */
export const noJson: fc.Arbitrary<Uint8Array<ArrayBuffer>> = fc.oneof(
  fc.constantFrom(
    ...["", " ", "{", "}", "[1,]", '{"a":01}', "{'a':1}", "NaN", '{"a":1}x'],
    ...['{"a":"\u0001"}', '"\\x"', "\ufeff{}", "// c\n{}", '{"a":1', "\0"],
    "[".repeat(60_000),
    '{"a":'.repeat(10_000),
  ).map((text) => new TextEncoder().encode(text)),
  fc.constantFrom(
    [0xef, 0xbb, 0xbf, 0x7b, 0x7d],
    [0xff, 0xfe, 0x7b, 0, 0x7d, 0],
    [0x22, 0xc0, 0x80, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
    [0x22, 0xff, 0x22],
  ).map((bytes) => new Uint8Array(bytes)),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes)),
);

/** One change of a JSON value; `at` is the place, counted through all of it. */
export interface Edit {
  readonly at: number;
  readonly how: "replace" | "add" | "twice" | "leave out" | "rename";
  readonly json: string;
}

/** Changes of a JSON value. */
export const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    at: fc.nat(1_000),
    how: fc.oneof(
      { weight: 6, arbitrary: fc.constant("replace" as const) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          ...["add", "twice", "leave out", "rename"] as const,
        ),
      },
    ),
    json: oddJson,
  }),
  { minLength: 1, maxLength: 2 },
);

/** A JSON value with changes, as it is written. */
export function edited(value: unknown, changes: readonly Edit[]): string {
  const written = new Map<number, Edit>();
  const places = countPlaces(value);
  for (const change of changes) written.set(change.at % places, change);
  let place = -1;
  const write = (value: unknown): string | null => {
    const change = written.get(++place);
    const inside = writeInside(value, write, change);
    return change?.how === "replace"
      ? change.json
      : change?.how === "leave out"
      ? null
      : inside;
  };
  return write(value) ?? "";
}

function writeInside(
  value: unknown,
  write: (value: unknown) => string | null,
  change: Edit | undefined,
): string {
  if (Array.isArray(value)) {
    const items = value.map(write).filter((item) => item !== null);
    if (change?.how === "add") items.push(change.json);
    if (change?.how === "twice") items.push(...items);
    return `[${items.join()}]`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).flatMap(([name, member]) => {
    const text = write(member);
    return text === null ? [] : [`${JSON.stringify(name)}:${text}`];
  });
  if (change?.how === "add") members.push(`"added":${change.json}`);
  if (change?.how === "rename") members.push(`${nameOf(change.json)}:1`);
  if (change?.how === "twice") members.push(...members);
  return `{${members.join()}}`;
}

function nameOf(json: string): string {
  return json.startsWith('"') ? json : JSON.stringify(json);
}

function countPlaces(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce(
    (sum: number, member) => sum + countPlaces(member),
    1,
  );
}

/** The parts of a JSON Schema that the functions' document uses. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly "x-references"?: string;
}

const edgeDates = fc.constantFrom(
  ...TEXTS.filter((text) => /^\d{4}-\d\d-\d\d$/.test(text)),
);
const edgeMoments = fc.constantFrom(
  ...TEXTS.filter((text) => /^\d{4}-\d\d-\d\dT/.test(text)),
);

/** Values that a schema takes, its edges among them. */
export function valueOf(schema: Schema): fc.Arbitrary<unknown> {
  const { type, minLength = 0, maxLength = 200 } = schema;
  const either = schema.anyOf ?? schema.oneOf;
  if (either !== undefined) return fc.oneof(...either.map(valueOf));
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (Array.isArray(type)) {
    return fc.oneof(...type.map((type) => valueOf({ ...schema, type })));
  }
  switch (type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer":
    case "number": {
      const { minimum = -(2 ** 53), maximum = 2 ** 53 } = schema;
      const whole = fc.maxSafeInteger().map((n) =>
        Math.min(maximum, Math.max(minimum, n))
      );
      const edge = fc.constantFrom(minimum, maximum);
      return type === "integer"
        ? fc.oneof(whole, edge)
        : fc.oneof(whole, edge, fc.double({ noNaN: true }));
    }
    case "array":
      return fc.array(valueOf(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 5, 20),
      });
    case "object":
      return fc.record(
        Object.fromEntries(
          Object.entries(schema.properties ?? {}).map((
            [name, schema],
          ) => [name, valueOf(schema)]),
        ),
        { requiredKeys: [] },
      );
    case "string":
      switch (schema.format) {
        case "uuid":
          return fc.uuid();
        case "date":
          return edgeDates;
        case "date-time":
          return edgeMoments;
        case "email":
          return fc.emailAddress();
        case "uri":
          return fc.webUrl();
      }
      if (schema.pattern !== undefined) {
        return fc.stringMatching(new RegExp(schema.pattern));
      }
      return fc.oneof(
        oddText.filter(({ length }) => length <= maxLength),
        fc.constant("x".repeat(maxLength)),
        fc.constant("😀".repeat(maxLength / 2)),
        fc.string({ unit: "grapheme", minLength, maxLength }),
      );
    default:
      return fc.anything();
  }
}
