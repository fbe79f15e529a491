import { parseArgs } from "node:util";
import { environmentOf } from "../project.ts";
import type { Command } from "./command.ts";

// Loaded when it is asked for: it brings a Postgres driver of its own.
const module = () =>
  Promise.all([
    import("../migrate/command.ts"),
    import("../migrate/arguments.ts"),
  ]);

/** What every command understands, in the words of this one. */
export function migrateArguments(args: readonly string[]): string[] {
  // It backs up first and takes back what fails: it asks nobody anyway.
  const own = args.filter((arg) => !/^(--yes|-y)$/.test(arg));
  const { values } = parseArgs({
    args: own,
    strict: false,
    options: { project: { type: "string", default: "." } },
  });
  const { DATABASE_URL: url } = environmentOf(`${values.project}`);
  if (url && !own.some((arg) => arg.startsWith("--database-url"))) {
    own.push(`--database-url=${url}`);
  }
  return own;
}

/** Applies migrations with a backup, a verification and a way back. */
export const migrate: Command = {
  summary: "apply migrations with a backup, a verification and a way back",
  usage: async () => (await module())[1].USAGE,
  async run(args) {
    const [{ migrate }] = await module();
    return await migrate(migrateArguments(args), {
      print: console.log,
      printError: console.error,
    });
  },
};
