import { assert, assertEquals, assertMatch } from "@std/assert";
import configuration from "../../deno.json" with { type: "json" };
import { type AdoptedProject, adoptedProject } from "../support/adopted.ts";
import { type Dev, startDev } from "../support/dev.ts";
import { codeBlocks, documentedFiles, pages } from "../support/documented.ts";
import { unique } from "../support/probe.ts";
import { signUp } from "../support/stack.ts";

// What these pages have their reader paste, in a project that took the module in
// as its owner does.
const PAGES = ["../README.md", "forms.md", "standard.md"];
const FUNCTION = /^supabase\/functions\/([\w-]+)\/index\.ts$/;

let project: AdoptedProject;
let dev: Dev;
let stack: { apiUrl: string; publishableKey: string };
const files = new Map<string, string>();

Deno.test.beforeAll(async () => {
  project = await adoptedProject();
  for (const page of PAGES) {
    for (const { path, code } of await documentedFiles(page)) {
      assert(!files.has(path), `${path} is on two pages`);
      files.set(path, code);
    }
  }
  await project.write(files);
  dev = await startDev([
    ...["--project", project.path],
    ...["--port", "0", "--memory"],
  ]);
  const settings = dev.settings();
  stack = {
    apiUrl: settings.get("API_URL")!,
    publishableKey: settings.get("PUBLISHABLE_KEY")!,
  };
});
Deno.test.afterAll(async () => {
  await dev.stop("SIGTERM");
  await project[Symbol.asyncDispose]();
});

Deno.test("every snippet of the README, the forms and the standard says which file it is", async () => {
  for (const page of PAGES) {
    const blocks = [
      ...await codeBlocks(page, "ts"),
      ...await codeBlocks(page, "sql"),
    ];
    assertEquals((await documentedFiles(page)).length, blocks.length, page);
  }
});

Deno.test("the README's command for the tests is the one that CI runs", async () => {
  const ci = await Deno.readTextFile(
    new URL("../../.ci/run", import.meta.url),
  );
  const blocks = await codeBlocks("../README.md", "sh");
  const [command] = /^npx -y deno@\S+ task test\b/m.exec(blocks.join(""))!;
  assertMatch(ci, new RegExp(`^${command} `, "m"));
});

Deno.test("versions that the documents name are those that the tests use", async () => {
  const tested = Object.values(configuration.imports);
  for (const page of await pages()) {
    for (const code of await codeBlocks(page, "ts")) {
      for (const [, pinned] of code.matchAll(/"(npm:[^"]+)"/g)) {
        assert(
          tested.some((one) => pinned === one || pinned!.startsWith(`${one}/`)),
          `${page} names ${pinned}`,
        );
      }
    }
  }
});

Deno.test("the snippets pass the type check in an adopted project", async () => {
  const sources = [...files].filter(([path]) => path.endsWith(".ts"));
  assert(sources.length >= 6);
  // A function has no import map; what a page imports, its bundler finds.
  for (const [path, code] of sources) {
    if (!FUNCTION.test(path)) continue;
    for (const [, specifier] of code.matchAll(/from "(.*)";$/gm)) {
      assertMatch(specifier!, /^(npm:.+@\d+\.\d+\.\d+|\.\.\/_shared\/.+)$/);
    }
  }
  await project.check(sources.map(([path]) => path), {
    "@supabase/supabase-js": "npm:@supabase/supabase-js@2.119.1",
    "supabase-idempotency/client":
      new URL("../../shared/client.ts", import.meta.url).href,
  });
});

function call(name: string, headers: HeadersInit, body: unknown) {
  return fetch(`${stack.apiUrl}/functions/v1/${name}`, {
    method: "POST",
    headers: { ...headers, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

Deno.test("each protected function of the snippets takes effect once, and keeps no failed effect", async () => {
  const names = [...files.keys()].flatMap((path) =>
    FUNCTION.exec(path)?.[1] ?? []
  );
  assertEquals(names.length, 6);
  for (const name of names) {
    const { headers, client, userId } = await signUp(stack);
    const ask = (key: string, product: string) =>
      call(name, { ...headers, "Idempotency-Key": key }, {
        product,
        invoice: product.length,
      });
    const rows = async () =>
      (await client.from("orders" as never).select().throwOnError()).data;

    const key = unique("order");
    const [first, retry] = [await ask(key, "tea"), await ask(key, "tea")];
    const text = await first.text();
    assertEquals([first.status, retry.status], [201, 201], `${name}: ${text}`);
    assertEquals(await retry.text(), text, name);
    assertEquals(JSON.parse(text).user_id, userId, name);
    if (name !== "orders-calls") {
      assertEquals(retry.headers.get("x-idempotency-replay"), "true", name);
    }
    assertEquals((await rows())?.length, 1, name);

    // The database refuses the row: no answer of this is an outcome.
    if (name === "pay-invoice") continue;
    const failing = unique("order");
    for (const _ of [1, 2]) {
      const failed = await ask(failing, "");
      assertEquals(failed.status, 500, name);
      assertEquals(failed.headers.get("x-idempotency-stored"), null, name);
      await failed.body?.cancel();
    }
    assertEquals((await rows())?.length, 1, name);
  }
});

Deno.test("invoices that are named by more than a number are paid one by one", async () => {
  const { headers } = await signUp(stack);
  const pay = (invoice: unknown) => call("pay-invoice", headers, { invoice });
  for (const invoice of ["A-17", "A-18"]) {
    const { product } = await (await pay(invoice)).json();
    assertEquals(product, `invoice ${invoice}`);
  }
  const refused = await pay("A 17");
  assertEquals(
    [refused.status, (await refused.json()).code],
    [400, "IDEMPOTENCY_KEY_INVALID"],
  );
});

Deno.test("the README's curl, sent twice, gets the first answer again", async () => {
  const script = (await codeBlocks("../README.md", "sh"))
    .find((code) => code.startsWith("curl "))!;
  const { headers } = await signUp(stack);
  const send = async () => {
    const { stdout } = await new Deno.Command("bash", {
      args: ["-c", script],
      env: {
        SUPABASE_URL: stack.apiUrl,
        SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
        TOKEN: headers["Authorization"]!.replace("Bearer ", ""),
      },
      stderr: "null",
    }).output();
    return new TextDecoder().decode(stdout).split("\r\n\r\n");
  };
  const [first, answer] = await send();
  const [second, again] = await send();
  assertMatch(first!, /^HTTP\/1.1 201/);
  assertMatch(second!, /x-idempotency-replay: true/i);
  assertEquals(again, answer);
});

Deno.test("a page of another origin may send the key and read the answer, where the snippet answers browsers", async () => {
  for (const name of ["orders", "orders-nested", "orders-serve"]) {
    const preflight = await fetch(`${stack.apiUrl}/functions/v1/${name}`, {
      method: "OPTIONS",
      headers: {
        Origin: "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers":
          "authorization, apikey, content-type, idempotency-key",
      },
    });
    await preflight.body?.cancel();
    const allowed = preflight.headers.get("access-control-allow-headers");
    assert(/idempotency-key/i.test(allowed ?? ""), `${name}: ${allowed}`);
    const { headers } = await signUp(stack);
    const answer = await call(name, {
      ...headers,
      "Idempotency-Key": unique("order"),
      Origin: "https://app.example",
    }, { product: "tea" });
    await answer.body?.cancel();
    assertEquals(answer.headers.get("access-control-allow-origin"), "*", name);
  }
});
