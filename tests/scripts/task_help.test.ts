import { assertEquals, assertMatch } from "@std/assert";
import { printed, runDeno } from "../../scripts/check/command.ts";
import configuration from "../../deno.json" with { type: "json" };

// Tasks that are another one with some of its words given.
const USAGE_OF: Record<string, string> = {
  "adopt": "cli init",
  "lint:sql": "check",
};

for (const task of Object.keys(configuration.tasks)) {
  Deno.test(`deno task ${task} --help says it as the command line does`, async () => {
    const result = await runDeno(["task", "--quiet", task, "--help"]);
    const text = printed(result);
    assertEquals(result.code, 0, text);
    assertMatch(
      text,
      new RegExp(`^Usage:\\s+deno task ${USAGE_OF[task] ?? task}\\b`),
    );
    const [usage = "", ...rest] = text.split("\n");
    for (const [option] of usage.matchAll(/--[a-z-]+/g)) {
      assertMatch(rest.join("\n"), new RegExp(`^  ${option} `, "m"), option);
    }
    assertMatch(text, /^ {2}--help {15}this text$/m);
  });
}

// Whoever says its usage like this reads its options by the same code.
Deno.test("a task refuses an option that it does not know", async () => {
  const result = await runDeno(["task", "--quiet", "simulate", "--colour"]);
  const text = printed(result);
  assertEquals(result.code, 2, text);
  assertMatch(text, /--colour/);
  assertMatch(text, /Usage:|--help/);
});
