/**
 * The command line: `deno task cli <command>`, and the package's
 * `supabase-idempotency <command>`. Runs on Deno, Node 22 and newer, and Bun.
 *
 * @module
 */
import process from "node:process";
import { cleanup } from "./cli/cleanup.ts";
import {
  type Command,
  CommandError,
  commandLine,
  UsageError,
  WRONG_USAGE,
} from "./cli/command.ts";
import { doctor } from "./cli/doctor.ts";
import { init } from "./cli/init.ts";
import { keys } from "./cli/keys.ts";
import { migrate } from "./cli/migrate.ts";
import { ops } from "./cli/ops.ts";
import { VERSION } from "./cli/release.ts";
import { remove } from "./cli/remove.ts";
import { stats } from "./cli/stats.ts";
import { upgrade } from "./cli/upgrade.ts";
import { explain, UnknownProjectError } from "./project.ts";
import { shown } from "./table.ts";

const COMMANDS: Readonly<Record<string, Command>> = {
  init,
  upgrade,
  remove,
  doctor,
  stats,
  keys,
  ops,
  cleanup,
  migrate,
};

function usage(): string {
  const lines = Object.entries(COMMANDS)
    .map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`);
  return `Usage: ${commandLine("<command>")} [options]

${lines.join("\n")}

  --version            that of the module and its schema
  --help               this text

${commandLine("<command>")} --help says more.`;
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === "--help" || name === "-h") {
    console.log(usage());
    return name === undefined ? WRONG_USAGE : 0;
  }
  if (name === "--version") {
    console.log(VERSION);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    console.error(`"${name}" is not a command\n${usage()}`);
    return WRONG_USAGE;
  }
  if (args.includes("--help") || args.includes("-h")) {
    console.log(await command.usage());
    return 0;
  }
  try {
    return await command.run(args) ?? 0;
  } catch (error) {
    const message = error instanceof CommandError
      ? error.message
      : explain(error);
    console.error(`${name}: ${message.split("\n").map(shown).join("\n")}`);
    if (error instanceof UsageError || error instanceof UnknownProjectError) {
      console.error(await command.usage());
      return WRONG_USAGE;
    }
    return 1;
  }
}

// Whoever reads along, such as head or less, may leave before it ends.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

process.exitCode = await main(process.argv.slice(2));
