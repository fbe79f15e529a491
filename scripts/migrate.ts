/**
 * Applies the project's migrations to a database, with a backup before and a
 * verification after: `deno task migrate --help`.
 *
 * @module
 */
import { migrate } from "./migrate/command.ts";

Deno.exitCode = await migrate(Deno.args);
