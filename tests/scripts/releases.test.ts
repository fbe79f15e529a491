import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { Releases } from "../../scripts/check/releases.ts";
import { VERSION } from "../../scripts/cli/release.ts";
import { printed, runCommand, runDeno } from "../../scripts/check/command.ts";
import { findPostgres } from "../../scripts/cluster/postgres.ts";

const NEXT = VERSION.replace(/\d+$/, (patch) => String(Number(patch) + 1));
const RELEASED = `supabase/releases/${VERSION}.sql`;
const STEP = `supabase/releases/${VERSION}-${NEXT}.sql`;
const LEDGER = "supabase/migrations/20261129110000_idempotency.sql";

/** A checkout on whose next release somebody works. */
async function withCheckout(
  test: (checkout: {
    root: string;
    edit: (path: string, change: (text: string) => string) => Promise<void>;
    problems: () => Promise<string>;
  }) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "releases-" });
  try {
    for (const name of ["CHANGELOG.md", "deno.json", "supabase"]) {
      await cp(name, join(root, name), { recursive: true });
    }
    await new Releases(root).freeze();
    await test({
      root,
      async edit(path, change) {
        const text = await Deno.readTextFile(join(root, path)).catch(() => "");
        await Deno.writeTextFile(join(root, path), change(text));
      },
      problems: async () => (await new Releases(root).problems()).join("\n"),
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const commented = (text: string) => `${text}-- edited\n`;

Deno.test("a released migration that was edited is refused", () =>
  withCheckout(async ({ edit, problems }) => {
    assertEquals(await problems(), "");
    await edit(RELEASED, commented);
    assertStringIncludes(
      await problems(),
      `${RELEASED} is released and is not what it was`,
    );
  }));

Deno.test("checksums that were edited with it are refused by the release's tag", () =>
  withCheckout(async ({ root, edit, problems }) => {
    const git = async (...args: string[]) => {
      const identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
      const result = await runCommand("git", [...identity, ...args], {
        cwd: root,
      });
      assertEquals(result.code, 0, printed(result));
    };
    await git("init", "--quiet");
    await git("add", ".");
    await git("commit", "--quiet", "--message", "release");
    await git("tag", `v${VERSION}`);
    assertEquals(await problems(), "");
    await edit(LEDGER, commented);
    await new Releases(root).freeze();
    assertStringIncludes(
      await problems(),
      `SHA256SUMS says of ${VERSION}.sql something else than the tag`,
    );
  }));

Deno.test("a schema that has changed since its release wants a version and a step", () =>
  withCheckout(async ({ edit, problems }) => {
    await edit(LEDGER, commented);
    assertStringIncludes(await problems(), `${VERSION} is released, and supa`);
    await edit("deno.json", (text) => text.replace(VERSION, NEXT));
    const found = await problems();
    assertStringIncludes(found, "idempotency.version() in supabase");
    assertStringIncludes(found, `CHANGELOG.md has no heading "## ${NEXT}"`);
    assertStringIncludes(found, `${STEP} is not there`);
  }));

Deno.test({
  name: "a step that does not lead where a new project begins is refused",
  ignore: findPostgres()?.fromNpm !== false,
  fn: () =>
    withCheckout(async ({ root, edit }) => {
      const added = "create table idempotency.more (id integer);\n";
      await edit("deno.json", (text) => text.replace(VERSION, NEXT));
      await edit(
        LEDGER,
        (text) =>
          text.replace(`select '${VERSION}'`, `select '${NEXT}'`) + added,
      );
      await edit(STEP, () => added);
      const releases = new Releases(root);
      const [problem, ...more] = await releases.upgradeProblems();
      assertEquals(more, []);
      assertStringIncludes(problem!, `${STEP} makes of ${VERSION} another`);
      assertStringIncludes(problem!, `select '${VERSION}'`);
      const version = await Deno.readTextFile(LEDGER).then((sql) =>
        /^create function idempotency\.version[^]*?^\$\$;/m.exec(sql)![0]
          .replace("create", "create or replace").replace(VERSION, NEXT)
      );
      await edit(STEP, (text) => `${version}\n${text}`);
      assertEquals(await releases.upgradeProblems(), []);
    }),
});

Deno.test("deno task release freezes the version of deno.json, and once", async () => {
  const release = async (version: string) =>
    printed(await runDeno(["task", "--quiet", "release", version]));
  assertMatch(await release(NEXT), /^release: deno\.json has version/);
  if ((await new Releases().released()).includes(VERSION)) {
    assertMatch(await release(VERSION), /is frozen already; --again does it/);
  }
});
