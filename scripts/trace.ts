/**
 * Follows one request through the files of the core: `deno task trace
 * [first|replay] [--list]`. A file switch is a call into another file than the
 * last one; a re-entry is a switch back into a file that was left before. The
 * fewer there are, the more the code is read in one direction.
 *
 * The core is copied, each function of the copy says when it is entered, and
 * one request runs through the middleware over a client that answers as the
 * database would: what is counted is the way there and back, not the database.
 *
 * @module
 */
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { pipeline } from "@supabase/middleware";
import ts from "typescript";
import { readTask, taskWords, wrongUsage } from "./task.ts";

const CORE = new URL("../shared/", import.meta.url);
const MOST = { switches: 25, reentries: 8 };

const KINDS = ["first", "replay"];
const USAGE = `Usage: deno task trace [first|replay] [--list]

Follows a request through the files of the core, and counts how often it turns
from file to file. Exit code 1 where that is too often.

  --list               each call on the way`;

const { wanted, list } = readTask("trace", () => {
  const { values, words } = taskWords(USAGE, {
    list: { type: "boolean", default: false },
  });
  const unknown = words.find((kind) => !KINDS.includes(kind));
  if (unknown !== undefined) {
    throw wrongUsage(`${unknown}: expected first or replay`, USAGE);
  }
  return {
    list: values.list,
    wanted: words.length === 0 ? KINDS : words,
  };
});

/** A call, as the copy reports it. */
interface Entered {
  readonly file: string;
  readonly name: string;
}

const calls: Entered[] = [];
(globalThis as { entered?: (file: string, name: string) => void }).entered = (
  file,
  name,
) => calls.push({ file, name });

const { withIdempotency } = await instrumented();
const handler = handlerOf(withIdempotency);

let isReplay = false;
let isTooMuch = false;
// What is set up once for a worker is no part of a request.
await (await handler(request("warm-up"))).text();
for (const kind of wanted) {
  calls.length = 0;
  const response = await handler(request(kind));
  await response.text();
  const { switches, reentries } = countSwitches(calls);
  console.log(
    `${kind}: ${calls.length} calls, ${switches} file switches, ${reentries} re-entries`,
  );
  if (list) {
    for (const { file, name } of calls) console.log(`  ${file} ${name}`);
  }
  isTooMuch ||= switches > MOST.switches || reentries > MOST.reentries;
}
if (isTooMuch) {
  console.error(
    `more than ${MOST.switches} switches or ${MOST.reentries} re-entries: --list shows the way`,
  );
  Deno.exit(1);
}
Deno.exit(0);

function countSwitches(calls: readonly Entered[]) {
  let last: string | undefined;
  let switches = 0;
  let reentries = 0;
  const left = new Set<string>();
  for (const { file } of calls) {
    if (file === last) continue;
    if (last !== undefined) {
      switches += 1;
      left.add(last);
    }
    if (left.has(file)) reentries += 1;
    last = file;
  }
  return { switches, reentries };
}

/** The core, in a copy whose functions say that they are entered. */
async function instrumented() {
  const folder = await Deno.makeTempDir({ prefix: "trace-" });
  await Deno.mkdir(join(folder, "idempotency"));
  await Deno.copyFile(
    new URL("idempotency.ts", CORE),
    join(folder, "idempotency.ts"),
  );
  for await (const { name } of Deno.readDir(new URL("idempotency/", CORE))) {
    const text = await Deno.readTextFile(new URL(`idempotency/${name}`, CORE));
    await Deno.writeTextFile(
      join(folder, "idempotency", name),
      tell(name, text),
    );
  }
  const url = pathToFileURL(join(folder, "idempotency.ts")).href;
  return await import(url) as typeof import("../shared/idempotency.ts");
}

function tell(file: string, text: string): string {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const at: [number, string][] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      const body = node.body as ts.Node;
      if (ts.isBlock(body) && !ts.isConstructorDeclaration(node)) {
        at.push([body.getStart() + 1, nameOf(node)]);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  let told = text;
  for (const [position, name] of at.sort(([a], [b]) => b - a)) {
    const call = ` globalThis.entered(${
      JSON.stringify(basename(file, ".ts"))
    }, ${JSON.stringify(name)});`;
    told = told.slice(0, position) + call + told.slice(position);
  }
  return `// deno-lint-ignore-file\n// @ts-nocheck\n${told}`;
}

function nameOf(node: ts.Node): string {
  const { name, parent } = node as ts.FunctionDeclaration;
  const named = name ??
    (parent as { name?: ts.Node } | undefined)?.name;
  return named?.getText() ?? "(anonymous)";
}

function handlerOf(
  protect: typeof withIdempotency,
): (req: Request) => Promise<Response> {
  const upstream = {
    supabaseAdmin: {
      supabaseUrl: "http://localhost",
      rpc: (fn: string) => answered(fn),
    },
    userClaims: { id: "user-17" },
    authMode: "user",
  };
  const app = pipeline(
    [protect({ scope: "orders" })] as never,
    (() => Response.json({ order: 17 }, { status: 201 })) as never,
  ) as (req: Request, ctx: unknown) => Promise<Response>;
  return (req) =>
    app(req, {
      ...upstream,
      [Symbol.for("@supabase/middleware:context")]: true,
    });
}

function request(kind: string): Request {
  isReplay = kind === "replay";
  return new Request("http://localhost/orders", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "Idempotency-Key": `order-${kind}`,
    },
    body: '{"amount":17}',
  });
}

function answered(fn: string) {
  const none = {
    attempt: 1,
    fence: 1,
    retry_after_seconds: null,
    status_code: null,
    response: null,
    response_encoding: null,
    response_headers: null,
    steps: null,
  };
  const data = fn !== "idempotency_claim"
    ? { ...none, outcome: "completed" }
    : isReplay
    ? {
      ...none,
      outcome: "replay",
      status_code: 201,
      response: '{"order":17}',
      response_encoding: "text",
      response_headers: {},
    }
    : { ...none, outcome: "claimed" };
  const call = Promise.resolve({ data, error: null, status: 200 });
  return Object.assign(call, { abortSignal: () => call });
}
