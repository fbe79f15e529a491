import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { Releases } from "../../scripts/check/releases.ts";
import { printed, runCommand, runDeno } from "../../scripts/check/command.ts";
import { findPostgres } from "../../scripts/cluster/postgres.ts";

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
    await edit("supabase/releases/1.0.0.sql", commented);
    assertMatch(
      await problems(),
      /^supabase\/releases\/1\.0\.0\.sql is released and is not what it was/,
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
    await git("tag", "v1.0.0");
    assertEquals(await problems(), "");
    await edit(LEDGER, commented);
    await new Releases(root).freeze();
    assertMatch(
      await problems(),
      /SHA256SUMS says of 1\.0\.0\.sql something else than the tag/,
    );
  }));

Deno.test("a schema that has changed since its release wants a version and a step", () =>
  withCheckout(async ({ edit, problems }) => {
    await edit(LEDGER, commented);
    assertMatch(await problems(), /1\.0\.0 is released, and .* another schema/);
    await edit("deno.json", (text) => text.replace("1.0.0", "1.0.1"));
    const found = await problems();
    assertStringIncludes(found, "idempotency.version() in supabase");
    assertStringIncludes(found, 'CHANGELOG.md has no heading "## 1.0.1"');
    assertStringIncludes(
      found,
      "supabase/releases/1.0.0-1.0.1.sql is not there",
    );
  }));

Deno.test({
  name: "a step that does not lead where a new project begins is refused",
  ignore: findPostgres()?.fromNpm !== false,
  fn: () =>
    withCheckout(async ({ root, edit }) => {
      const added = "create table idempotency.more (id integer);\n";
      await edit("deno.json", (text) => text.replace("1.0.0", "1.0.1"));
      await edit(
        LEDGER,
        (text) => text.replace("select '1.0.0'", "select '1.0.1'") + added,
      );
      const step = "supabase/releases/1.0.0-1.0.1.sql";
      await edit(step, () => added);
      const releases = new Releases(root);
      const [problem, ...more] = await releases.upgradeProblems();
      assertEquals(more, []);
      assertMatch(problem!, /1\.0\.0-1\.0\.1\.sql makes of 1\.0\.0 another/);
      assertStringIncludes(problem!, "select '1.0.0'");
      const version = await Deno.readTextFile(LEDGER).then((sql) =>
        /^create function idempotency\.version[^]*?^\$\$;/m.exec(sql)![0]
          .replace("create", "create or replace").replace("1.0.0", "1.0.1")
      );
      await edit(step, (text) => `${version}\n${text}`);
      assertEquals(await releases.upgradeProblems(), []);
    }),
});

Deno.test("deno task release says what is frozen already", async () => {
  const result = await runDeno(["task", "--quiet", "release", "1.0.0"]);
  assertEquals(result.code, 1);
  assertMatch(printed(result), /1\.0\.0 is frozen already; --again/);
  const other = await runDeno(["task", "--quiet", "release", "9.9.9"]);
  assertMatch(printed(other), /deno\.json has version 1\.0\.0/);
});
