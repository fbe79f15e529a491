/**
 * Writes the OpenAPI document of all functions, from the schemas that they check
 * requests by: `deno task openapi`.
 *
 * @module
 */
import { writeOpenApi } from "./check/openapi.ts";
import { readTask, taskOptions } from "./task.ts";

const USAGE = `Usage: deno task openapi

Writes functions/crm/openapi.json, the document of all functions, from the schemas
that they check requests by.
`;

readTask("openapi", () => taskOptions(USAGE, {}));

const changed = await writeOpenApi();
console.log(
  `functions/crm/openapi.json ${changed ? "written" : "was up to date"}`,
);
