import { assertEquals, assertStringIncludes } from "@std/assert";
import { printed } from "../../scripts/check/command.ts";
import { runSupabase } from "../../scripts/check/supabase_cli.ts";
import { codeBlocks, pages } from "../support/documented.ts";

Deno.test("what the documents have their reader push goes to the linked project", async () => {
  const pushes = new Set<string>();
  for (const page of await pages()) {
    for (const code of await codeBlocks(page, "sh")) {
      for (const [push] of code.matchAll(/^supabase db push[^#\n]*/gm)) {
        pushes.add(push.trim());
      }
    }
  }
  assertEquals([...pushes], ["supabase db push --remote"]);
  const workdir = await Deno.makeTempDir({ prefix: "push-" });
  try {
    await runSupabase(["init"], { workdir });
    // It is linked to none, and that is what it has to miss.
    const result = await runSupabase(["db", "push", "--remote"], { workdir });
    assertStringIncludes(printed(result), "supabase link");
  } finally {
    await Deno.remove(workdir, { recursive: true });
  }
});
