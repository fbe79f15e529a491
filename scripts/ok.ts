/**
 * Runs every check, then every test: `deno task ok`.
 *
 * @module
 */
import { readTask, taskOptions } from "./task.ts";

const USAGE = `Usage: deno task ok

Runs every check, and where they pass every test: what a change has to pass.
`;

readTask("ok", () => taskOptions(USAGE, {}));
for (const task of ["check", "test"]) {
  const args = ["task", task];
  const { code } = await new Deno.Command(Deno.execPath(), { args }).spawn()
    .status;
  if (code !== 0) Deno.exit(code);
}
