/**
 * Writes `shared/database.types.ts` from the migrations, on a cluster of its
 * own: `deno task types`.
 *
 * @module
 */
import { writeDatabaseTypes } from "./check/database_types.ts";
import { readTask, taskOptions } from "./task.ts";

const USAGE = `Usage: deno task types

Writes shared/database.types.ts from the migrations, on a cluster of its own.
`;

readTask("types", () => taskOptions(USAGE, {}));

const changed = await writeDatabaseTypes();
console.log(
  `shared/database.types.ts ${changed ? "written" : "was up to date"}`,
);
