import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { backOffMs } from "../../shared/client/sending.ts";
import { waitOf } from "../../shared/client/answers.ts";
import { lost, order, ORDERS, scripted } from "../support/scripted_fetch.ts";

const bounds = fc.record({
  baseMs: fc.integer({ min: 1, max: 10_000 }),
  maxMs: fc.integer({ min: 1, max: 100_000 }),
});
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const failures = fc.integer({ min: 1, max: 2000 });

Deno.test("a wait lies between nothing and its bound, and the bound doubles up to its own", () => {
  fc.assert(fc.property(bounds, random, failures, (back, random, failures) => {
    const ms = backOffMs(failures, back.baseMs, back.maxMs, random);
    const bound = backOffMs(failures, back.baseMs, back.maxMs, 1);
    const before = backOffMs(failures - 1, back.baseMs, back.maxMs, 1);
    assert(0 <= ms && ms <= bound && bound <= back.maxMs);
    if (failures > 1) assertEquals(bound, Math.min(back.maxMs, 2 * before));
    else assertEquals(bound, Math.min(back.maxMs, back.baseMs));
  }));
});

Deno.test("a wait takes the whole of its range", () => {
  assertEquals([0, 0.25, 0.5].map((at) => backOffMs(3, 1000, 8000, at)), [
    0,
    1000,
    2000,
  ]);
});

Deno.test("all waits together stay within the budget, whatever chance does", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.infiniteStream(random),
      fc.integer({ min: 0, max: 30_000 }),
      fc.integer({ min: 1, max: 20 }),
      async (chances, budgetMs, attempts) => {
        const { send, seen, waits } = scripted([lost()], {
          random: () => chances.next().value!,
          retry: { attempts, budgetMs, baseMs: 1000, maxMs: 5000 },
        });
        await send(ORDERS, order()).catch(() => {});
        assert(waits.reduce((sum, ms) => sum + ms, 0) <= budgetMs);
        assert(seen.length <= attempts && seen.length === waits.length + 1);
      },
    ),
    { numRuns: 20 },
  );
});

const parse = (value: string, now = 0) =>
  waitOf(new Headers({ "Retry-After": value }), now);

Deno.test("Retry-After in seconds is read as milliseconds", () => {
  fc.assert(fc.property(fc.nat(), (seconds) => {
    assertEquals(parse(`${seconds}`), seconds * 1000);
  }));
});

Deno.test("Retry-After as a date is the time until then, and nothing once it has passed", () => {
  const second = fc.integer({ min: 0, max: 4_000_000_000 });
  fc.assert(fc.property(second, second, (at, now) => {
    const date = new Date(at * 1000).toUTCString();
    assertEquals(parse(date, now * 1000), Math.max(0, at - now) * 1000);
  }));
});

Deno.test("Retry-After in any other form is as if it were not there", () => {
  for (
    const value of [
      "",
      "-1",
      "1.5",
      "1e3",
      "0x10",
      "soon",
      "GMT",
      "Infinity",
    ]
  ) {
    assertEquals(parse(value), undefined, value);
  }
  assertEquals(waitOf(new Headers(), 0), undefined);
});

Deno.test("no header makes a wait that is no time", () => {
  const value = fc.string().filter((text) => /^[\x20-\x7e]*$/.test(text));
  fc.assert(fc.property(value, (text) => {
    const ms = parse(text);
    assert(ms === undefined || ms >= 0);
  }));
});
