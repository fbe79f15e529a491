/**
 * Serves a local Supabase until Ctrl-C: `deno task dev`. This repository's
 * functions and migrations, or with `--project` those of another project and
 * nothing else.
 *
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type StackOptions, startStack } from "./stack/stack.ts";

const HELP =
  "deno task dev [--project DIR] [--port N] [--memory | --database-url URL [--apply-migrations]] [--probe]";

try {
  const options = readOptions(Deno.args);
  const starting = startStack(options);
  let stopping = false;
  // From the first moment: a first start cut short would leave half a database.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, async () => {
      if (stopping) return;
      stopping = true;
      await (await starting).close();
      Deno.exit(0);
    });
  }
  const stack = await starting;
  console.log(`API_URL=${stack.apiUrl}`);
  console.log(`PUBLISHABLE_KEY=${stack.publishableKey}`);
  console.log(`SECRET_KEY=${stack.secretKey}`);
  if (options.demo === false) {
    console.log(`ANON_KEY=${stack.anonKey}`);
    console.log(`SERVICE_ROLE_KEY=${stack.serviceRoleKey}`);
  }
  if (stack.dbUrl !== undefined) console.log(`DB_URL=${stack.dbUrl}`);
  console.log("ready");
} catch (error) {
  console.error((error as Error).message.split("\n").join(" "));
  Deno.exit(1);
}

function readOptions(args: string[]): StackOptions {
  const { values } = parse(args);
  const port = values.port === undefined ? 54321 : Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new Error(
      `Cannot use --port ${values.port}: expected a number from 0 to 65535. Usage: ${HELP}`,
    );
  }
  const databaseUrl = values["database-url"];
  const url = Deno.env.get("TRAINING_API_URL");
  const key = Deno.env.get("TRAINING_API_KEY");
  if (databaseUrl !== undefined && values.memory) {
    throw new Error(
      `--memory is for the embedded database and does not go with --database-url. Usage: ${HELP}`,
    );
  }
  if (databaseUrl === undefined && values["apply-migrations"]) {
    throw new Error(
      `--apply-migrations goes with --database-url: the embedded database is always migrated. Usage: ${HELP}`,
    );
  }
  return {
    port,
    memory: values.memory,
    probe: values.probe,
    applyMigrations: values["apply-migrations"],
    seed: true,
    ...(values.project === undefined
      ? {}
      : { supabaseDir: join(values.project, "supabase"), demo: false }),
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(url && key ? { trainingApi: { url, key } } : {}),
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        port: { type: "string" },
        memory: { type: "boolean", default: false },
        "database-url": { type: "string" },
        "apply-migrations": { type: "boolean", default: false },
        project: { type: "string" },
        probe: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    throw new Error(`${(error as Error).message} Usage: ${HELP}`);
  }
}
