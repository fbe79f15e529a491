import { assert, assertEquals } from "@std/assert";
import {
  executeDatabaseOperation,
  hashUserId,
  logEvent,
  traceRequest,
} from "../../../shared/tracing.ts";
import { codeBlocks } from "../../support/documented.ts";
import { withOutput } from "../../support/output.ts";

// What docs/recipes/tracing.md tells three aggregators to read has to be in the
// lines; the aggregators themselves are not asked.
const PAGE = "recipes/tracing.md";

type Line = Record<string, unknown>;

/** The lines of a request that names its trace, and of its database operation. */
async function lines(): Promise<Line[]> {
  let seen: Line[] = [];
  await withOutput(async (output) => {
    await traceRequest(
      new Request("http://x/orders", { headers: { "X-Trace-Id": "basket-7" } }),
      async () => {
        await executeDatabaseOperation(
          "basket-7",
          "select",
          "lots",
          () => Promise.resolve({ data: [], error: null }),
        );
        logEvent("PAID", { user: hashUserId("7f0c9a52") });
        return new Response(null, { status: 500 });
      },
    );
    seen = output.lines();
  });
  assertEquals(seen.length, 4);
  return seen;
}

function typesOf(lines: readonly Line[]): Record<string, string> {
  return Object.fromEntries(
    lines.flatMap((line) =>
      Object.entries(line).map(([name, value]) => [name, typeof value])
    ),
  );
}

Deno.test("each line is one JSON object with a time, a level and what happened", async () => {
  for (const line of await lines()) {
    const at = `${line["@timestamp"]}`;
    assertEquals(new Date(at).toISOString(), at);
    assert(["INFO", "WARN", "ERROR"].includes(`${line["level"]}`));
    assert(/^[A-Z_]+$/.test(`${line["message"]}`));
    assertEquals(line["traceId"], "basket-7");
  }
});

Deno.test("Datadog is told fields that the lines have", async () => {
  const [json] = await codeBlocks(PAGE, "json");
  const processors: {
    type: string;
    source?: string;
    sources?: string[];
    expression?: string;
  }[] = JSON.parse(json!);
  const types = typesOf(await lines());
  const read = processors.flatMap(({ sources = [] }) => sources);
  assertEquals(read, [
    "@timestamp",
    "level",
    "message",
    "w3cTraceId",
    "traceId",
  ]);
  for (const name of read) assertEquals(types[name], "string", name);
  const [, factor] = /^durationMs \* (\d+)$/.exec(
    processors.find(({ type }) => type === "arithmetic-processor")!.expression!,
  )!;
  assertEquals([types["durationMs"], factor], ["number", "1000000"]);
  // The grok rule takes a whole line to be JSON, one that is nested included.
  assertEquals(processors[0]!.source, "event_message");
});

Deno.test("Logstash is told fields that the lines have, none of them twice", async () => {
  const [config] = await codeBlocks(PAGE, "logstash");
  const types = typesOf(await lines());
  const renamed = [...config!.matchAll(/"\[(\w+)\]" => "(\[.*?\])"$/gm)];
  assert(renamed.length >= 6);
  for (const [, name] of renamed) assert(name! in types, name);
  const targets = renamed.map(([, , target]) => target);
  assertEquals(new Set(targets).size, targets.length);
  assert(config!.includes('match => ["[@timestamp]", "ISO8601"]'));
});

Deno.test("CloudWatch's filter and query name fields that the lines have", async () => {
  const shell = await codeBlocks(PAGE, "sh");
  const filter = shell.find((block) => block.includes("put-metric-filter"))!;
  const seen = await lines();
  const types = typesOf(seen);
  const named = [...filter.matchAll(/\$\.(\w+) (\S+) ("?)/g)];
  assertEquals(named.map(([, name]) => name), ["message", "status"]);
  for (const [, name, , quote] of named) {
    assertEquals(types[name!], quote ? "string" : "number", name);
  }
  // And it matches the one line it is meant for.
  assertEquals(
    seen.filter(({ message, status }) =>
      message === "REQUEST_COMPLETE" && Number(status) >= 500
    ).length,
    1,
  );
  const queries = await codeBlocks(PAGE, "text");
  const query = queries.find((block) => block.startsWith("fields "))!;
  const [, fields] = /^fields (.*)$/m.exec(query)!;
  for (const name of [...fields!.split(", "), "traceId"]) {
    assert(name in types, name);
  }
});
