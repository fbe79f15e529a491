import { assertEquals, assertMatch } from "@std/assert";
import { printed, runDeno } from "../../scripts/check/command.ts";

const TASKS = [
  "bench",
  "bench:failover",
  "bench:ops",
  "bench:peers",
  "bench:scale",
  "demo",
  "dev",
  "migrate",
  "mutate",
  "simulate",
  "soak",
];

for (const task of TASKS) {
  Deno.test(`deno task ${task} --help says it as the command line does`, async () => {
    const result = await runDeno(["task", "--quiet", task, "--help"]);
    const text = printed(result);
    assertEquals(result.code, 0, text);
    const [usage = "", ...rest] = text.split("\n");
    assertMatch(usage, new RegExp(`^Usage: deno task ${task}\\b`));
    for (const [option] of usage.matchAll(/--[a-z-]+/g)) {
      assertMatch(rest.join("\n"), new RegExp(`^  ${option} `, "m"), option);
    }
    assertMatch(text, /^ {2}--help {15}this text$/m);
  });
}
