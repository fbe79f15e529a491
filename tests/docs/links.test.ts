import { assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { pages } from "../support/documented.ts";

const DOCS = new URL("../../docs/", import.meta.url);

async function markdown(): Promise<string[]> {
  const decisions = [...Deno.readDirSync(new URL("decisions/", DOCS))]
    .map(({ name }) => `decisions/${name}`);
  return [
    ...await pages(),
    "../CHANGELOG.md",
    "../CONTRIBUTING.md",
    ...decisions,
  ];
}

/** The text of a page without its code, in which brackets are no links. */
async function prose(url: URL): Promise<string> {
  return (await Deno.readTextFile(url))
    .replaceAll(/^```.*?^```/gms, "")
    .replaceAll(/`[^`\n]+`/g, (code) => code.replaceAll(/[[\]()]/g, ""));
}

/** Where a page's links and pictures lead, below this repository. */
async function linksOf(url: URL): Promise<string[]> {
  const text = await prose(url);
  return [...text.matchAll(/\]\(([^)\s]+)\)|\bsrc="([^"]+)"/g)]
    .map(([, link, src]) => (link ?? src)!)
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** The names that GitHub gives to a page's headings. */
async function anchorsOf(url: URL): Promise<Set<string>> {
  const headings = (await prose(url)).matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading]) =>
      heading!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-")
    ),
  );
}

Deno.test("every link in the documents leads somewhere", async () => {
  const broken: string[] = [];
  for (const page of await markdown()) {
    const url = new URL(page, DOCS);
    for (const link of await linksOf(url)) {
      const target = new URL(link, url);
      const { hash } = target;
      target.hash = "";
      const isThere = existsSync(target) &&
        (hash === "" || (await anchorsOf(target)).has(hash.slice(1)));
      if (!isThere) broken.push(`${page}: ${link}`);
    }
  }
  assertEquals(broken, []);
});

Deno.test("the indexes lead to every page", async () => {
  const linked = new Set<string>();
  for (const index of ["README.md", "guides/README.md"]) {
    const url = new URL(index, DOCS);
    for (const link of await linksOf(url)) linked.add(new URL(link, url).href);
  }
  const missing = (await pages())
    .filter((page) => !linked.has(new URL(page, DOCS).href))
    .filter((page) => page !== "README.md");
  assertEquals(missing, []);
});
