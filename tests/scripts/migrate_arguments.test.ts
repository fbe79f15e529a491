import { assertEquals, assertStringIncludes } from "@std/assert";
import { migrateArguments } from "../../scripts/cli/migrate.ts";
import { migrate, readArguments } from "../../scripts/migrate/command.ts";

const URL_GIVEN = "--database-url=postgresql://u:secret@127.0.0.1:1/db";

async function command(...args: string[]) {
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const code = await migrate(args, { print, printError: print });
  return { code, text: lines.join("\n") };
}

Deno.test("each way to call migrate is read", () => {
  const read = (...args: string[]) => {
    const { verb, options } = readArguments([URL_GIVEN, ...args]);
    return options.dryRun ? `${verb}, dry` : verb;
  };
  assertEquals(read(), "run");
  assertEquals(read("--table", "a.b"), "run");
  assertEquals(read("--dry-run"), "run, dry");
  assertEquals(read("--verify"), "verify");
  assertEquals(read("--rollback"), "roll back");
  assertEquals(read("--rollback", "--dry-run"), "roll back, dry");
  assertEquals(read("status"), "status");
  assertEquals(read("backup", "--table", "a.b"), "backup");
  assertEquals(read("restore", "x", "--table", "a.b"), "restore");
  assertEquals(read("--help"), "help");
});

Deno.test("the command line's --project is where the migrations and the backups lie", () => {
  for (const project of [["--project", "mine"], ["--project=mine"]]) {
    const { backupDir, supabaseDir } = readArguments(
      migrateArguments([URL_GIVEN, "--yes", ...project]),
    ).options;
    assertEquals([backupDir, supabaseDir], ["mine/.backups", "mine/supabase"]);
  }
});

Deno.test("migrate refuses what it cannot do, says why, and ends with 2", async () => {
  for (
    const [args, why] of [
      [["--nonsense"], "--nonsense"],
      [["frobnicate"], "unknown command frobnicate"],
      [["status", "--rollback"], "choose one of status, --rollback"],
      [["--verify", "--dry-run"], "--dry-run does not go with --verify"],
      [["restore"], "name one folder"],
      [["status", "--table", "a.b"], "--table does not go with status"],
      [["backup", "a.b"], "unknown command backup a.b"],
      [["--wait", "soon"], "--wait takes 0 to 86400 seconds, found soon"],
      [["--on-failure", "cry"], "--on-failure takes undo, keep or go-on"],
    ] as const
  ) {
    const { code, text } = await command(URL_GIVEN, ...args);
    assertEquals(code, 2, text);
    assertStringIncludes(text, why);
  }
});

Deno.test("a database that cannot be reached is named, without its password", async () => {
  for (const url of [URL_GIVEN, "--database-url=mysql://u:secret@h/db"]) {
    const { code, text } = await command("status", url);
    assertEquals(code, 2);
    assertEquals(text.includes("secret"), false, text);
  }
  assertStringIncludes(
    (await command("status", URL_GIVEN)).text,
    "Cannot connect to db at 127.0.0.1:1",
  );
});

Deno.test("--help tells every exit code", async () => {
  const { code, text } = await command("--help");
  assertEquals(code, 0);
  for (
    const each of [
      "0 done",
      "1 failed",
      "2 refused",
      "3 another",
      "4 a verification",
      "5 failed",
    ]
  ) {
    assertStringIncludes(text, each);
  }
});
