import { parseArgs } from "node:util";
import { startStack } from "./stack/stack.ts";

const HELP =
  "deno task dev [--port N] [--memory] [--database-url URL] [--probe]";

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
  if (stack.dbUrl !== undefined) console.log(`DB_URL=${stack.dbUrl}`);
  console.log("ready");
} catch (error) {
  console.error((error as Error).message.split("\n").join(" "));
  Deno.exit(1);
}

function readOptions(args: string[]) {
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
  return {
    port,
    memory: values.memory,
    probe: values.probe,
    seed: true,
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
        probe: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    throw new Error(`${(error as Error).message} Usage: ${HELP}`);
  }
}
