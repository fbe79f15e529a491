import { openApiDocument } from "../openapi/document.ts";
import { type Check, type Problems, ROOT } from "./check.ts";

// Below the function that serves it: a deployed function has no other files.
const FILE = new URL("functions/crm/openapi.json", ROOT);

// Each operation and component in a line of its own: a change of one is one in a
// diff, and the whole is half as long as it would be indented.
const DEPTH_OF_LINES = 3;

function generate(): string {
  return `${lines(openApiDocument(), DEPTH_OF_LINES)}\n`;
}

function lines(value: unknown, depth: number): string {
  if (depth === 0 || typeof value !== "object" || Array.isArray(value)) {
    return JSON.stringify(value);
  }
  const members = Object.entries(value ?? {}).map(([name, member]) =>
    `${JSON.stringify(name)}: ${lines(member, depth - 1)}`
  );
  return `{\n${members.join(",\n")}\n}`;
}

/** Writes the document; answers whether that changed it. */
export async function writeOpenApi(): Promise<boolean> {
  const before = await Deno.readTextFile(FILE).catch(() => "");
  const after = generate();
  if (before === after) return false;
  await Deno.writeTextFile(FILE, after);
  return true;
}

async function run(): Promise<Problems> {
  const committed = (await Deno.readTextFile(FILE)).replaceAll("\r\n", "\n");
  return committed === generate() ? [] : [
    "functions/crm/openapi.json differs from what the functions' schemas say; run: deno task openapi",
  ];
}

/** The committed OpenAPI document is that of the functions. */
export const openApiCheck: Check = {
  name: "openapi",
  needsPostgres: false,
  run,
};
