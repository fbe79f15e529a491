import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  openAiCompatibleProvider,
  ProviderError,
} from "../../../../functions/start-training/provider.ts";

const API_KEY = "sk-secret-1234";

/** Runs a provider on loopback that answers every request in one way. */
async function withProvider(
  answer: (req: Request) => Response | Promise<Response>,
  test: (baseUrl: string) => Promise<void>,
): Promise<void> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    answer,
  );
  try {
    await test(`http://127.0.0.1:${server.addr.port}/v1/`);
  } finally {
    await server.shutdown();
  }
}

function createJob(baseUrl: string, timeoutMs = 5_000) {
  const provider = openAiCompatibleProvider({
    baseUrl,
    apiKey: API_KEY,
    timeoutMs,
  });
  return provider.createJob({ model: "m", fileId: "file-1" }, "key-1");
}

async function failure(
  answer: (req: Request) => Response | Promise<Response>,
): Promise<ProviderError> {
  let error!: ProviderError;
  await withProvider(answer, async (baseUrl) => {
    error = await assertRejects(() => createJob(baseUrl), ProviderError);
  });
  return error;
}

const problem = (status: number, message: string) => () =>
  Response.json({ error: { message } }, { status });

Deno.test("uploadFile() sends the file as a form, with purpose and key", async () => {
  await withProvider(async (req) => {
    assertEquals(new URL(req.url).pathname, "/v1/files");
    assertEquals(req.headers.get("authorization"), `Bearer ${API_KEY}`);
    assertEquals(req.headers.get("idempotency-key"), "key-1");
    const form = await req.formData();
    assertEquals(form.get("purpose"), "fine-tune");
    const file = form.get("file") as File;
    assertEquals([file.name, await file.text()], ["a.jsonl", "{}\n"]);
    return Response.json({ id: "file-1" });
  }, async (baseUrl) => {
    const provider = openAiCompatibleProvider({ baseUrl, apiKey: API_KEY });
    const file = { name: "a.jsonl", content: "{}\n" };
    assertEquals(await provider.uploadFile(file, "key-1"), {
      fileId: "file-1",
    });
  });
});

Deno.test("createJob() sends model and file as JSON, with the key", async () => {
  await withProvider(async (req) => {
    assertEquals(new URL(req.url).pathname, "/v1/fine_tuning/jobs");
    assertEquals(req.headers.get("idempotency-key"), "key-1");
    assertEquals(await req.json(), { model: "m", training_file: "file-1" });
    return Response.json({ id: "ftjob-1" });
  }, async (baseUrl) => {
    assertEquals(await createJob(baseUrl), { providerJobId: "ftjob-1" });
  });
});

Deno.test("createJob() passes a refusal's reason on, short and without keys", async () => {
  const error = await failure(
    problem(400, `No model m for ${API_KEY}, sk-se****34\n${"x".repeat(900)}`),
  );
  assertEquals(error.code, "PROVIDER_REFUSED");
  assertStringIncludes(error.message, "answered 400: No model m for [key]");
  assertEquals(error.message.includes("sk-"), false);
  assertEquals(error.message.length < 300, true);
});

Deno.test("createJob() tells nothing of a refusal that is about our credentials", async () => {
  const error = await failure(problem(401, "Incorrect API key: abcd1234"));
  assertEquals(error.code, "PROVIDER_REFUSED");
  assertEquals(error.message.includes("abcd1234"), false);
});

Deno.test("createJob() takes overload, failure and nonsense for momentary", async () => {
  for (const status of [408, 409, 429, 500, 503]) {
    const error = await failure(problem(status, "later"));
    assertEquals(error.code, "PROVIDER_UNAVAILABLE");
  }
  const nonsense = await failure(() => new Response("<html>"));
  assertEquals(nonsense.code, "PROVIDER_UNAVAILABLE");
});

Deno.test("createJob() follows no redirect, so that the key stays here", async () => {
  let calls = 0;
  const error = await failure(() => {
    calls++;
    return new Response(null, { status: 307, headers: { Location: "/other" } });
  });
  assertEquals([error.code, calls], ["PROVIDER_UNAVAILABLE", 1]);
});

Deno.test("createJob() gives up on a provider that does not answer in time", async () => {
  const late = Promise.withResolvers<Response>();
  await withProvider(() => late.promise, async (baseUrl) => {
    const error = await assertRejects(
      () => createJob(baseUrl, 50),
      ProviderError,
    );
    late.resolve(new Response());
    assertEquals(error.code, "PROVIDER_UNAVAILABLE");
    assertStringIncludes(error.message, "did not answer in time");
  });
});

Deno.test("createJob() says so when the provider cannot be reached", async () => {
  let closed = "";
  await withProvider(() => new Response(), (baseUrl) => {
    closed = baseUrl;
    return Promise.resolve();
  });
  const error = await assertRejects(() => createJob(closed), ProviderError);
  assertStringIncludes(error.message, "cannot be reached");
});
