import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { bundle } from "../../../scripts/bundle.ts";
import { printed, runCommand } from "../../../scripts/check/command.ts";
import { BROUGHT, ROOT, VERSION } from "../../../scripts/cli/release.ts";
import { npmProgram } from "../../../scripts/npm_package.ts";
import { migratedCluster } from "../../../scripts/cluster/supabase_cluster.ts";
import { durable } from "../../support/cli.ts";
import { BUN_VERSION, NODE_VERSIONS } from "../../runtimes/runtimes.ts";

Deno.test("the command line, as one file beside what it brings, runs on Node 22 and Bun", async (t) => {
  const home = await Deno.makeTempDir({ prefix: "package-" });
  await using cluster = await migratedCluster();
  try {
    const { code } = await bundle("scripts/cli.ts", {
      conditions: ["node"],
      node: true,
    });
    const entry = join(home, "bin", "cli.mjs");
    await Deno.mkdir(join(home, "bin"));
    await Deno.writeTextFile(entry, code);
    for (const path of BROUGHT) {
      await cp(join(ROOT, path), join(home, path), { recursive: true });
    }
    const [oldest] = NODE_VERSIONS;
    const runtimes = [
      npmProgram("node", oldest),
      npmProgram("bun", BUN_VERSION),
    ];
    for (const runtime of runtimes) {
      const project = await Deno.makeTempDir({ dir: home });
      await Deno.mkdir(join(project, "supabase"));
      await t.step(runtime.split("/").at(-1)!, async () => {
        const run = async (...args: string[]) => {
          const result = await runCommand(runtime, [entry, ...args], {
            cwd: project,
          });
          assertEquals(result.code, 0, printed(result));
          return printed(result);
        };
        const url = ["--database-url", cluster.url];
        assertEquals(await run("--version"), VERSION);
        assertStringIncludes(
          await run("--help"),
          "Usage: supabase-idempotency <command>",
        );
        assertMatch(await run("init", "--yes"), /added \d+ files/);
        assertStringIncludes(
          await run("doctor", "--database-url", durable(cluster.url)),
          "nothing is wrong",
        );
        assertEquals(
          JSON.parse(await run("stats", "--json", ...url)).hours,
          24,
        );
        assertEquals(await run("keys", "list", ...url), "no stuck keys");
        assertEquals(await run("cleanup", ...url), "0 expired keys deleted");
        assertStringIncludes(await run("migrate", "--help"), "--rollback");
        assertStringIncludes(
          await run("remove", "--yes", ...url),
          "would add supabase/migrations/",
        );
        // Its second answer, after five seconds, is for nobody.
        if (runtime === runtimes[0]) {
          const left = await runCommand("bash", [
            ...["-c", `"$0" "$@" | head -c 1`, runtime, entry],
            ...["stats", "--watch", "--json", ...url],
          ]);
          assertEquals(printed(left), "{");
        }
        const refused = await runCommand(runtime, [entry, "init"], {
          cwd: home,
        });
        assertEquals(refused.code, 2, printed(refused));
      });
    }
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
