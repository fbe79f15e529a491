import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { EXAMPLE } from "../../scripts/cli/init.ts";
import { printed, runDeno } from "../../scripts/check/command.ts";

const SHARED = "supabase/functions/_shared";

async function withProject(
  test: (project: string) => Promise<void>,
  folders: string[] = ["supabase"],
): Promise<void> {
  const project = await Deno.makeTempDir({ prefix: "adopt-" });
  try {
    for (const folder of folders) await Deno.mkdir(join(project, folder));
    await test(project);
  } finally {
    await Deno.remove(project, { recursive: true });
  }
}

async function adopt(...args: string[]) {
  const result = await runDeno(["task", "--quiet", "adopt", ...args]);
  return { code: result.code, text: printed(result) };
}

/** Without where it says that it comes from. */
function withoutComment(sql: string): string {
  return sql.replace(/^(--.*\n)+\n/, "");
}

async function filesOf(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (!isDirectory) files.push(name);
    else files.push(...await filesOf(join(folder, name)));
  }
  return files.sort();
}

Deno.test("adopt copies module and migrations to Supabase's own places", () =>
  withProject(async (project) => {
    const { code, text } = await adopt(project);
    assertEquals(code, 0, text);
    assertEquals(
      await Deno.readTextFile(join(project, SHARED, "idempotency.ts")),
      await Deno.readTextFile("shared/idempotency.ts"),
    );
    assertEquals(
      await filesOf(join(project, SHARED, "idempotency")),
      (await filesOf("shared/idempotency"))
        .filter((name) => name !== "testing.ts"),
    );
    const [ledger, ...others] = await filesOf(
      join(project, "supabase/migrations"),
    );
    assertEquals(others, []);
    assertEquals(
      withoutComment(
        await Deno.readTextFile(join(project, "supabase/migrations", ledger!)),
      ),
      withoutComment(
        await Deno.readTextFile(
          "supabase/migrations/20261129110000_idempotency.sql",
        ),
      ),
    );
    assertStringIncludes(text, "supabase db push");
    assertStringIncludes(text, "supabase functions deploy");
  }));

Deno.test("adopt stamps the migration later than the project's newest, and never in the future", () =>
  withProject(async (project) => {
    const migrations = join(project, "supabase/migrations");
    await Deno.mkdir(migrations);
    const stamp = (ms: number) =>
      new Date(Date.now() + ms).toISOString().replace(/\D/g, "").slice(0, 14);
    const newest = `${stamp(30_000)}_notes.sql`;
    await Deno.writeTextFile(join(migrations, "20260101000000_old.sql"), "");
    await Deno.writeTextFile(join(migrations, newest), "");
    assertEquals((await adopt(project)).code, 0);
    const names = await filesOf(migrations);
    assertEquals(names.slice(0, 2), ["20260101000000_old.sql", newest]);
    assert(names[2]!.endsWith("_idempotency.sql"));
    assert(names[2]! <= `${stamp(60_000)}_idempotency.sql`, names[2]);
    assertEquals((await adopt(project)).code, 0);
    assertEquals(await filesOf(migrations), names);
  }));

Deno.test("adopt run again changes nothing", () =>
  withProject(async (project) => {
    await adopt(project);
    const { code, text } = await adopt(project);
    assertEquals(code, 0, text);
    assert(!text.includes("added"), text);
    assertStringIncludes(text, "were there already");
  }));

Deno.test("adopt --dry-run says what it would add and adds nothing", () =>
  withProject(async (project) => {
    const { code, text } = await adopt(project, "--dry-run");
    assertEquals(code, 0, text);
    assertStringIncludes(text, `would add ${SHARED}/idempotency.ts`);
    assertEquals(await filesOf(project), []);
  }));

Deno.test("adopt overwrites nothing, and names every file in its way", () =>
  withProject(async (project) => {
    await Deno.mkdir(join(project, SHARED, "idempotency"), { recursive: true });
    const theirs = [
      `${SHARED}/idempotency.ts`,
      `${SHARED}/idempotency/key.ts`,
    ];
    for (const path of theirs) {
      await Deno.writeTextFile(join(project, path), "// theirs\n");
    }
    const { code, text } = await adopt(project);
    assertEquals(code, 1);
    for (const path of theirs) {
      assertStringIncludes(text, path);
      assertEquals(
        await Deno.readTextFile(join(project, path)),
        "// theirs\n",
      );
    }
    assertEquals(await filesOf(project), ["idempotency.ts", "key.ts"]);
  }));

Deno.test("adopt refuses a folder that is no Supabase project, and says why", () =>
  withProject(async (project) => {
    const { code, text } = await adopt(project);
    assertEquals(code, 1);
    assertStringIncludes(text, "it has no folder supabase/");
    const missing = await adopt(join(project, "nowhere"));
    assertEquals(missing.code, 1);
    assertStringIncludes(missing.text, "there is no such folder");
  }, []));

Deno.test("adopt asks for exactly one project", async () => {
  for (const args of [[], ["a", "b"], ["a", "--force"]]) {
    const { code, text } = await adopt(...args);
    assertEquals(code, 2);
    assertStringIncludes(text, "Usage: deno task cli init [DIR]");
  }
});

Deno.test("an adopted project's function passes the type check as it is", () =>
  withProject(async (project) => {
    await adopt(project);
    const folder = join(project, "supabase/functions/hello");
    await Deno.mkdir(folder);
    await Deno.writeTextFile(join(folder, "deno.json"), '{ "imports": {} }');
    await Deno.writeTextFile(join(folder, "index.ts"), EXAMPLE);
    const result = await runDeno(["check", "index.ts"], { cwd: folder });
    assertEquals(result.code, 0, printed(result));
  }));
