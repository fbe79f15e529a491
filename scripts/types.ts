/**
 * Writes `shared/database.types.ts` from the migrations, on a cluster of its
 * own: `deno task types`.
 *
 * @module
 */
import { writeDatabaseTypes } from "./check/database_types.ts";

const changed = await writeDatabaseTypes();
console.log(
  `shared/database.types.ts ${changed ? "written" : "was up to date"}`,
);
