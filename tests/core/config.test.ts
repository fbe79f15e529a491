import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  checkedMetadata,
  type IdempotencyConfig,
  resolveConfig,
} from "../../shared/idempotency/config.ts";
import { memoryLedger } from "../../shared/idempotency/memory_ledger.ts";
import { postgresLedger } from "../../shared/idempotency/postgres_ledger.ts";
import { redisLedger } from "../../shared/idempotency/redis_ledger.ts";
import { supabaseLedger } from "../../shared/idempotency/supabase_ledger.ts";
import { withIdempotency } from "../../shared/idempotency/with_idempotency.ts";

const YEAR = 365 * 86_400;
const call = () => {};

// What each field takes, at its very bounds, and what lies beyond.
const FIELDS: Record<
  keyof IdempotencyConfig,
  { takes: unknown[]; refuses: unknown[]; says: string }
> = {
  scope: {
    takes: ["a", "a".repeat(200), "\u{1f375}".repeat(200), () => "orders"],
    refuses: ["", "a".repeat(201), "a\0", "\ud83c", 7],
    says: "1 to 200 characters, or a function",
  },
  enforcement: {
    takes: ["optional", "warn", "required"],
    refuses: ["off", true],
    says: '"optional" or "warn" or "required"',
  },
  onConcurrent: {
    takes: ["reject", "wait"],
    refuses: ["retry"],
    says: '"reject" or "wait"',
  },
  waitSeconds: {
    takes: [1, 1.5, 120],
    refuses: [0.9, 121, "10", NaN],
    says: "a number from 1 to 120",
  },
  onAbandoned: {
    takes: ["retry", "refuse"],
    refuses: ["reject"],
    says: '"retry" or "refuse"',
  },
  leaseSeconds: {
    takes: [1, 3600],
    refuses: [0, 3601, 1.5, "60"],
    says: "an integer from 1 to 3600",
  },
  maxRunSeconds: {
    takes: [1, 86_400],
    refuses: [0, 86_401, Infinity],
    says: "an integer from 1 to 86400",
  },
  maxAttempts: {
    takes: [1, 100],
    refuses: [0, 101],
    says: "an integer from 1 to 100",
  },
  ttlSeconds: {
    takes: [1, YEAR, {}, { completed: 1 }, { completed: YEAR, failed: 1 }],
    refuses: [0, YEAR + 1, { completed: 0 }, { failed: YEAR + 1 }],
    says: `an integer from 1 to ${YEAR}`,
  },
  onLedgerDown: {
    takes: ["reject", "run"],
    refuses: ["wait"],
    says: '"reject" or "run"',
  },
  store: {
    takes: [memoryLedger()],
    refuses: [{}, { claim: call }, { complete: call }, [], "redis"],
    says: "a Ledger",
  },
  callers: {
    takes: ["refuse", "project"],
    refuses: ["user"],
    says: '"refuse" or "project"',
  },
  user: { takes: [call], refuses: ["ada"], says: "a function" },
  thirdPartyAuth: {
    takes: [true, false],
    refuses: ["yes", 1],
    says: "a boolean",
  },
  fingerprint: { takes: [call], refuses: [{}], says: "a function" },
  key: { takes: [call], refuses: ["key"], says: "a function" },
  isFinal: { takes: [call], refuses: [true], says: "a function" },
  keepBody: { takes: [call], refuses: [false], says: "a function" },
  metadata: {
    takes: [{}, call],
    refuses: ["note", [], null],
    says: "an object, or a function",
  },
  onEvent: { takes: [call], refuses: ["log"], says: "a function" },
};

for (const [name, { takes, refuses, says }] of Object.entries(FIELDS)) {
  Deno.test(`${name} is ${says}, and nothing else`, () => {
    for (const value of takes) {
      const config = resolveConfig({ [name]: value });
      if (name === "ttlSeconds") continue;
      assertEquals(config[name as keyof typeof config], value);
    }
    for (const value of refuses) {
      assertThrows(
        () => resolveConfig({ [name]: value }),
        TypeError,
        `Cannot use the idempotency configuration: ${name}: expected ${says}`,
      );
    }
    assertThrows(
      () =>
        resolveConfig({ [name]: takes[0] }, [name as keyof IdempotencyConfig]),
      TypeError,
      `${name}: expected left out in this form`,
    );
    assertEquals(resolveConfig({ [name]: undefined }), resolveConfig());
  });
}

Deno.test("the route of an operation is what a scope is, and nothing else", async () => {
  const { takes, refuses } = FIELDS.scope;
  const run = (route: unknown) =>
    withIdempotency({
      store: memoryLedger(),
      userId: "ada",
      route: route as string,
      key: "order-17",
    }, () => Promise.resolve({ status: 200, body: null }));
  for (const route of takes.filter((one) => typeof one === "string")) {
    assertEquals((await run(route)).status, 200);
  }
  for (const route of [...refuses, undefined]) {
    await assertRejects(
      () => run(route),
      TypeError,
      "route: expected 1 to 200 characters",
    );
  }
});

Deno.test("each wrong field is named, and those that there are not", () => {
  const wrong = { leaseSeconds: 0, lease: 5, toString: call, callers: "me" };
  assertThrows(
    () => resolveConfig(wrong as unknown as IdempotencyConfig),
    TypeError,
    'leaseSeconds: expected an integer from 1 to 3600; lease: expected no such field; toString: expected no such field; callers: expected "refuse" or "project"',
  );
  assertThrows(
    () => resolveConfig({ ttlSeconds: { done: 1 } } as IdempotencyConfig),
    TypeError,
    "or { completed, failed } and nothing else",
  );
});

Deno.test("what is left out is as the documentation says", () => {
  const { ttlSeconds, ...rest } = resolveConfig();
  assertEquals(ttlSeconds, { completed: 86_400, failed: 86_400 });
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  assertEquals(Object.fromEntries(given), {
    enforcement: "optional",
    onConcurrent: "reject",
    waitSeconds: 10,
    onAbandoned: "retry",
    leaseSeconds: 30,
    maxRunSeconds: 400,
    maxAttempts: 5,
    onLedgerDown: "reject",
    callers: "refuse",
    thirdPartyAuth: false,
  });
});

Deno.test("a TTL is for both ends, or for one and the other by itself", () => {
  const of = (ttlSeconds: NonNullable<IdempotencyConfig["ttlSeconds"]>) =>
    resolveConfig({ ttlSeconds }).ttlSeconds;
  assertEquals(of(60), { completed: 60, failed: 60 });
  assertEquals(of({ completed: 60 }), { completed: 60, failed: 86_400 });
  assertEquals(of({ failed: 60 }), { completed: 86_400, failed: 60 });
});

Deno.test("metadata is an object of at most 2,048 bytes of JSON", () => {
  // {"a":""} takes eight of them.
  for (const [letter, most] of [["x", 2_040], ["é", 1_020], ["語", 680]]) {
    const fits = { a: (letter as string).repeat(most as number) };
    assertEquals(checkedMetadata(fits), fits);
    assertThrows(() => checkedMetadata({ a: `${fits.a}x` }), TypeError);
  }
  const loop: Record<string, unknown> = {};
  loop["loop"] = loop;
  assertThrows(() => checkedMetadata(loop), TypeError, "it has no JSON form");
  for (const value of [null, [], "note"]) {
    assertThrows(
      () => checkedMetadata(value as never),
      TypeError,
      "it is no object",
    );
  }
});

Deno.test("a ledger over something else than it takes is refused before any request", () => {
  // Such as one that a pool has lent, which may be in a transaction.
  const connection = { query: () => Promise.resolve({ rows: [] }) };
  const client = { sendCommand: () => Promise.resolve(null) };
  const made: [make: () => unknown, says: string][] = [
    [() => postgresLedger(connection as never), "a pool of pg"],
    [() => redisLedger(client as never), "client.sendCommand(command)"],
    [() => supabaseLedger(connection as never), "one of supabase-js"],
  ];
  for (const [make, says] of made) assertThrows(make, TypeError, says);
});
