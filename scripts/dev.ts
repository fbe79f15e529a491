/**
 * Serves a local Supabase until Ctrl-C: `deno task dev`. This repository's
 * functions and migrations, or with `--project` those of another project and
 * nothing else.
 *
 * @module
 */
import { join } from "node:path";
import { UsageError, WRONG_USAGE } from "./cli/command.ts";
import { logFailure } from "./stack/answers.ts";
import { type StackOptions, startStack } from "./stack/stack.ts";
import { taskOptions, wrongUsage } from "./task.ts";

const USAGE =
  `Usage: deno task dev [--project DIR] [--port N] [--memory | --database-url URL [--apply-migrations]] [--probe]

Serves a local Supabase until Ctrl-C: this repository's functions and migrations,
on an embedded database that is kept.

  --project DIR        those of another project, and nothing else
  --port N             54321 by default; 0 for any free one
  --memory             keep nothing
  --database-url URL   on a Postgres server, in place of the embedded database
  --apply-migrations   change that server's database
  --probe              serve what conformance suites drive, too`;

try {
  const options = readOptions();
  const starting = startStack(options);
  let stopping = false;
  // From the first moment: a first start cut short would leave half a database.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, async () => {
      if (stopping) return;
      stopping = true;
      const stack = await starting;
      try {
        await stack.close();
      } catch (error) {
        logFailure("the stack did not end well", error);
        Deno.exit(1);
      }
      Deno.exit(0);
    });
  }
  const stack = await starting;
  // Of a function that shares this process; a hosted one takes no other down.
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    logFailure("a promise was rejected and nobody minded", event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    logFailure("something threw and nobody caught it", event.error);
  });
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
  Deno.exit(error instanceof UsageError ? WRONG_USAGE : 1);
}

function readOptions(): StackOptions {
  const values = taskOptions(USAGE, {
    port: { type: "string" },
    memory: { type: "boolean", default: false },
    "database-url": { type: "string" },
    "apply-migrations": { type: "boolean", default: false },
    project: { type: "string" },
    probe: { type: "boolean", default: false },
  });
  const port = values.port === undefined ? 54321 : Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw wrongUsage(
      `Cannot use --port ${values.port}: expected a number from 0 to 65535`,
      USAGE,
    );
  }
  const databaseUrl = values["database-url"];
  const url = Deno.env.get("TRAINING_API_URL");
  const key = Deno.env.get("TRAINING_API_KEY");
  if (databaseUrl !== undefined && values.memory) {
    throw wrongUsage(
      `--memory is for the embedded database and does not go with --database-url`,
      USAGE,
    );
  }
  if (databaseUrl === undefined && values["apply-migrations"]) {
    throw wrongUsage(
      `--apply-migrations goes with --database-url: the embedded database is always migrated`,
      USAGE,
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
