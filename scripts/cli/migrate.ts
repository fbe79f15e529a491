import process from "node:process";
import { parseArgs } from "node:util";
import { environmentOf } from "../project.ts";
import { type Command, isMeant } from "./command.ts";

// Loaded when it is asked for: it brings a Postgres driver of its own.
const module = () =>
  Promise.all([
    import("../migrate/command.ts"),
    import("../migrate/arguments.ts"),
  ]);

/** What every command understands, in the words of this one. */
export function migrateArguments(args: readonly string[]): string[] {
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

/** Whether a command line asks for more than a look. */
function changes(args: readonly string[]): boolean {
  return !args.some((arg) =>
    ["--dry-run", "--verify", "--json", "--help", "-h", "status"].includes(arg)
  );
}

/** Applies migrations with a backup, a verification and a way back. */
export const migrate: Command = {
  summary: "apply migrations with a backup, a verification and a way back",
  usage: async () => (await module())[1].USAGE,
  async run(args) {
    const [{ migrate }] = await module();
    const own = migrateArguments(args);
    const output = { print: console.log, printError: console.error };
    const yes = args.includes("--yes") || args.includes("-y");
    if (changes(own) && process.stdin.isTTY && !yes) {
      // What is put back has no rehearsal.
      const code = own.includes("restore")
        ? 0
        : await migrate([...own, "--dry-run"], output);
      if (code !== 0) return code;
      if (!await isMeant({ yes })) return;
    }
    return await migrate(own, output);
  },
};
