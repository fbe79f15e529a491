import { assert, assertEquals } from "@std/assert";

// Each promise of the documents names the tests that fail when it does not hold.

const PAGE = new URL("../../docs/guarantee.md", import.meta.url);

const read = (path: string) => Deno.readTextFile(new URL(path, PAGE));

/** As it is read: without line breaks and what links lead to. */
const plain = (text: string) =>
  text.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1").replaceAll(/\s+/g, " ");

interface Promised {
  readonly text: string;
  readonly tests: readonly { readonly name: string; readonly path: string }[];
}

/** The items of the page: what is promised, and by which tests. */
async function promises(): Promise<Promised[]> {
  const items = (await Deno.readTextFile(PAGE)).matchAll(
    /^- ([^]*?)(?=^- |^#|(?![^]))/gm,
  );
  return [...items].map(([, item]) => {
    const [, text, links] = /^([^]*?)((?:\s*\[[^\]]+\]\([^)]+\),?)*)\s*$/
      .exec(item!)!;
    const tests = [...links!.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)]
      .map(([, name, path]) => ({ name: plain(name!), path: path! }));
    return { text: plain(text!), tests };
  });
}

/** Whether a test has this name; `…` is whatever it is tried with. */
function isIn(source: string, name: string): boolean {
  const parts = name.replace(/ …$/, "").split("…")
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const quoted = String.raw`["'\`](?:[^"'\`\n]*: )?${parts.join(".+?")}`;
  return new RegExp(quoted).test(source.replaceAll('\\"', '"'));
}

Deno.test("each promise names tests, and each test is there", async () => {
  const listed = await promises();
  assert(listed.length > 50, `only ${listed.length}`);
  const wrong: string[] = [];
  for (const { text, tests } of listed) {
    if (tests.length === 0) wrong.push(`${text} names no test`);
    for (const { name, path } of tests) {
      if (!isIn(await read(path), name)) {
        wrong.push(`${text} no test "${name}" in ${path}`);
      }
    }
  }
  assertEquals(wrong, []);
});

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
