/**
 * Writes the OpenAPI document of all functions, from the schemas that they check
 * requests by: `deno task openapi`.
 *
 * @module
 */
import { writeOpenApi } from "./check/openapi.ts";

const changed = await writeOpenApi();
console.log(
  `functions/crm/openapi.json ${changed ? "written" : "was up to date"}`,
);
