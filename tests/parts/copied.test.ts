import { assertEquals } from "@std/assert";
import { cp } from "node:fs/promises";
import { ROOT } from "../../scripts/check/check.ts";
import { printed, runDeno } from "../../scripts/check/command.ts";

const SHARED = new URL("shared/", ROOT);
const NO_PROJECT = ["--no-config", "--no-lock", "--quiet"];

for (const part of ["archive", "sequences"]) {
  Deno.test(`a copy of ${part} type-checks and loads where there is nothing else`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const { name } of Deno.readDirSync(SHARED)) {
        if (name !== part && name !== `${part}.ts`) continue;
        await cp(new URL(name, SHARED), `${folder}/${name}`, {
          recursive: true,
        });
      }
      for (const command of [["check"], ["run", "--no-prompt"]]) {
        const args = [...command, ...NO_PROJECT, `${part}.ts`];
        const result = await runDeno(args, { cwd: folder });
        assertEquals(result.code, 0, printed(result));
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
