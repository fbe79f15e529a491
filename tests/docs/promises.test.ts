import { assert, assertEquals } from "@std/assert";

// Each promise of the documents, and each line of the threat model, names the
// tests that fail when it does not hold.

const PAGE = new URL("../../docs/guarantee.md", import.meta.url);

const read = (path: string) => Deno.readTextFile(new URL(path, PAGE));

/** As it is read: without line breaks and what links lead to. */
const plain = (text: string) =>
  text.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1").replaceAll(/\s+/g, " ");

interface NamedTest {
  readonly name: string;
  readonly path: string;
}

interface Promised {
  readonly text: string;
  readonly tests: readonly NamedTest[];
}

/** The links of a text, whose words are names of tests. */
function namedIn(text: string): NamedTest[] {
  return [...text.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)]
    .map(([, name, path]) => ({ name: plain(name!), path: path! }));
}

/** The items of the page: what is promised, and by which tests. */
async function promises(): Promise<Promised[]> {
  const items = (await Deno.readTextFile(PAGE)).matchAll(
    /^- ([^]*?)(?=^- |^#|(?![^]))/gm,
  );
  return [...items].map(([, item]) => {
    const [, text, links] = /^([^]*?)((?:\s*\[[^\]]+\]\([^)]+\),?)*)\s*$/
      .exec(item!)!;
    return { text: plain(text!), tests: namedIn(links!) };
  });
}

/** Whether a test has this name; `…` is whatever it is tried with. */
async function isThere({ name, path }: NamedTest): Promise<boolean> {
  const parts = name.replace(/ …$/, "").split("…")
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const quoted = String.raw`["'\`](?:[^"'\`\n]*: )?${parts.join(".+?")}`;
  const source = await read(path);
  const unquoted = source.replaceAll('\\"', '"').replaceAll("''", "'");
  return new RegExp(quoted).test(unquoted);
}

/** The lines of the threat model, each of which ends in a test. */
async function threats(): Promise<Promised[]> {
  const lines = (await read("threat-model.md")).split("\n");
  const rows = lines.filter((line, at) =>
    /^\| [^-]/.test(line) && !lines[at + 1]?.startsWith("| --")
  );
  return rows.map((row) => {
    const cells = row.split(" | ");
    return { text: cells[0]!.slice(2).trim(), tests: namedIn(cells.at(-1)!) };
  });
}

for (
  const [what, list, least] of [
    ["promise", promises, 50],
    ["line of the threat model", threats, 30],
  ] as const
) {
  Deno.test(`each ${what} names tests, and each test is there`, async () => {
    const listed = await list();
    assert(listed.length > least, `only ${listed.length}`);
    const wrong: string[] = [];
    for (const { text, tests } of listed) {
      if (tests.length === 0) wrong.push(`${text} names no test`);
      for (const test of tests) {
        if (!await isThere(test)) {
          wrong.push(`${text} no test "${test.name}" in ${test.path}`);
        }
      }
    }
    assertEquals(wrong, []);
  });
}

Deno.test("no promise of the README and the reference is left out", async () => {
  const listed = (await promises()).map(({ text }) => text).join("\n");
  const readme = await read("../README.md");
  const reference = await read("reference.md");
  const [, above] = /^\*\*On condition\*\*[^]*?\n((?:- [^]*?)+)\n\n[^ -]/m
    .exec(readme)!;
  const section = (title: string) =>
    new RegExp(`^## ${title}\n([^]*?)^## `, "m").exec(reference)![1]!;
  const said = [
    ...above!.split(/^- /m).slice(1).flatMap((bullet) =>
      plain(bullet).trim().split(/(?<=\.) /)
    ),
    ...section("What clients see").match(/`[A-Z]+_[A-Z_]+`/g)!,
    ...[...section("Configuration").matchAll(/^\| (`\w+`)/gm)]
      .map(([, field]) => field!),
    ...[...section("Inside the handler").matchAll(/^- \*\*`(\w+)/gm)]
      .map(([, member]) => `\`${member}\``),
  ];
  assert(said.length > 40, said.join());
  assertEquals(said.filter((promise) => !listed.includes(promise)), []);
});
