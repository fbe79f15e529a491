import { assert, assertEquals } from "@std/assert";
import { ROOT } from "../../scripts/check/check.ts";
import { wellTyped } from "../../scripts/mutate/compiler.ts";
import { type Edit, mutantOf } from "../../scripts/mutate/mutant.ts";
import { sqlEdits } from "../../scripts/mutate/sql.ts";
import type { KnownTest } from "../../scripts/mutate/tests.ts";
import { testsOf } from "../../scripts/mutate/trial.ts";
import { typescriptEdits } from "../../scripts/mutate/typescript.ts";

const edited = (source: string, { start, end, to }: Edit) =>
  source.slice(0, start) + to + source.slice(end);

const FUNCTION = `create function public.claim(p_at timestamptz)
returns boolean
language plpgsql
as $$
begin
  return p_at <= now();
end;
$$;

revoke all on function public.claim(timestamptz) from anon;
`;

Deno.test("TypeScript is broken at each decision, number, call and property, not in its types or messages", () => {
  const source = `
    type Most = 7;
    export function late(at: number, most: Most) {
      if (at > 5 && most === 7) throw new Error("too " + "late");
      return { at };
    }`;
  const line = (text: string) =>
    `    export function late(at: number, most: Most) {
      if (${text}`;
  const broken = typescriptEdits(source).map((edit) => edited(source, edit));
  for (
    const change of [
      line("at >= 5 && most === 7)"),
      line("at > 5 || most === 7)"),
      line("at > 5 && most !== 7)"),
      line("at > (5 * 2) && most === 7)"),
      line("!(at > 5 && most === 7))"),
      "return { };",
    ]
  ) assert(broken.some((text) => text.includes(change)), change);
  for (const text of broken) {
    assert(text.includes("type Most = 7;"));
    assert(text.includes('throw new Error("too " + "late");'));
  }
});

Deno.test("SQL is broken inside and outside of its functions, and a place inside names the function", () => {
  const found = sqlEdits(FUNCTION).map((edit) => [
    FUNCTION.slice(edit.start, edit.end).trim(),
    edit.routine,
  ]);
  assertEquals(found, [
    ["<=", "claim"],
    ["revoke all on function public.claim(timestamptz) from anon;", null],
  ]);
});

const test = (file: string, known: Partial<KnownTest>): KnownTest => ({
  file,
  database: false,
  ms: 1,
  missed: {},
  routines: null,
  isTimed: false,
  ...known,
});

Deno.test("a mutant of TypeScript meets those tests that run a line of it, first what runs much in little time", () => {
  const source = "if (\n  a\n) b();\n";
  const edit = { start: 6, end: 7, to: "c" };
  const mutant = mutantOf("core.ts", source, edit);
  const asked = testsOf(mutant, [
    test("other file", {}),
    test("line missed", { missed: { "core.ts": [2] } }),
    test("much", { ms: 3, missed: { "core.ts": [] } }),
    test("dear", { ms: 9, missed: { "core.ts": [] } }),
    test("timed", { ms: 3, isTimed: true, missed: { "core.ts": [] } }),
    test("little", { ms: 2, missed: { "core.ts": [1, 3] } }),
  ]);
  assertEquals(
    asked.map(({ file }) => file),
    ["much", "timed", "little", "dear"],
  );
});

Deno.test("a mutant of SQL meets those tests that call its function, or all where nobody knows", () => {
  const tests = [
    test("calls", { database: true, routines: ["claim"] }),
    test("does not", { database: true, routines: ["fail"] }),
    test("nobody knows", { database: true, routines: null }),
    test("no database", {}),
  ];
  const asked = (routine: string | null) => {
    const edit = { start: 0, end: 1, to: "", routine };
    return testsOf(mutantOf("claim.sql", "x", edit), tests)
      .map(({ file }) => file);
  };
  assertEquals(asked("claim"), ["calls", "nobody knows"]);
  const all = ["calls", "does not", "nobody knows"];
  assertEquals(asked(null), all);
  assertEquals(asked("never called"), all);
});

Deno.test("the type check refuses the ill-typed and no other, and leaves nothing behind", async () => {
  const file = "shared/idempotency/stream_end.ts";
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/shared/idempotency`, { recursive: true });
    await Deno.copyFile(new URL("deno.json", ROOT), `${root}/deno.json`);
    const source = "export const most: number = 5;\n";
    const at = source.indexOf("5");
    const [sound, illTyped] = ["6", '"five"'].map((to) =>
      mutantOf(file, source, { start: at, end: at + 1, to })
    );
    assertEquals(await wellTyped(root, [illTyped!, sound!]), [sound!]);
    const left = await Array.fromAsync(
      Deno.readDir(`${root}/shared/idempotency`),
    );
    assertEquals(left, []);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
