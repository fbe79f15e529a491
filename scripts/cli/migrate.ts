import process from "node:process";
import { parseArgs } from "node:util";
import { environmentOf } from "../project.ts";
import { type Command, isMeant } from "./command.ts";

// Loaded when it is asked for: it brings a Postgres driver of its own.
const module = () => import("../migrate/command.ts");

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

/** Whether a command line changes the database, and somebody may be there to ask. */
function changes(
  read: Awaited<ReturnType<typeof module>>["readArguments"],
  args: readonly string[],
): boolean {
  try {
    const { verb, json, options } = read(args);
    return !json && !options.dryRun &&
      ["run", "roll back", "restore"].includes(verb);
  } catch {
    return false; // it is refused, and told why
  }
}

/** Applies migrations with a backup, a verification and a way back. */
export const migrate: Command = {
  summary: "apply migrations with a backup, a verification and a way back",
  usage: async () => (await module()).USAGE,
  async run(args) {
    const { migrate, readArguments } = await module();
    const own = migrateArguments(args);
    const yes = args.includes("--yes") || args.includes("-y");
    if (process.stdin.isTTY && !yes && changes(readArguments, own)) {
      const code = await migrate([...own, "--dry-run"]);
      if (code !== 0) return code;
      if (!await isMeant({ yes })) return;
    }
    return await migrate(own);
  },
};
