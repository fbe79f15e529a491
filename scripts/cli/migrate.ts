import { join } from "node:path";
import { environmentOf } from "../project.ts";
import type { Command } from "./command.ts";

// Loaded when it is asked for: it brings a Postgres driver of its own.
const module = () =>
  Promise.all([
    import("../migrate/command.ts"),
    import("../migrate/arguments.ts"),
  ]);

/** What every command understands, in the words of this one. */
function translated(args: readonly string[]): string[] {
  const own: string[] = [];
  let project = ".";
  for (let i = 0; i < args.length; i++) {
    const match = /^--project(?:=(.*))?$/.exec(args[i]!);
    // It backs up first and takes back what fails: it asks nobody anyway.
    if (/^(--yes|-y)$/.test(args[i]!)) continue;
    if (match === null) own.push(args[i]!);
    else project = match[1] ?? args[++i] ?? project;
  }
  if (project !== ".") own.push(`--supabase-dir=${join(project, "supabase")}`);
  const { DATABASE_URL: url } = environmentOf(project);
  if (url && !own.some((arg) => arg.startsWith("--database-url"))) {
    own.push(`--database-url=${url}`);
  }
  return own;
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
    return await migrate(translated(args), {
      print: console.log,
      printError: console.error,
    });
  },
};
