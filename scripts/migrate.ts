/**
 * Applies the project's migrations to a database, with a backup before and a
 * verification after: `deno task migrate --help`.
 *
 * @module
 */
import { runCommand } from "./migrate/command.ts";

Deno.exitCode = await runCommand(Deno.args, {
  print: console.log,
  printError: console.error,
});
