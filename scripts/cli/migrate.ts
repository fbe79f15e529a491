import { join } from "node:path";
import type { Command } from "./command.ts";

// Loaded when it is asked for: it brings a Postgres driver of its own.
const module = () =>
  Promise.all([
    import("../migrate/command.ts"),
    import("../migrate/arguments.ts"),
  ]);

/** `--project DIR`, as every command has it, is a folder for this one. */
function withFolder(args: readonly string[]): string[] {
  const found: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const [, inline] = /^--project(?:=(.*))?$/.exec(args[i]!) ?? [null];
    if (inline === null) found.push(args[i]!);
    else {
      const project = inline ?? args[++i] ?? ".";
      found.push(`--supabase-dir=${join(project, "supabase")}`);
    }
  }
  return found;
}

/** Applies migrations with a backup, a verification and a way back. */
export const migrate: Command = {
  summary: "apply migrations with a backup, a verification and a way back",
  usage: async () =>
    `${
      (await module())[1].USAGE
    }\n\n--project DIR stands for --supabase-dir DIR/supabase`,
  async run(args) {
    const [{ migrate }] = await module();
    return await migrate(withFolder(args), {
      print: console.log,
      printError: console.error,
    });
  },
};
