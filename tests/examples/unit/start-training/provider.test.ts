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
  for (const status of [401, 403]) {
    const error = await failure(problem(status, "Incorrect API key: abcd1234"));
    assertEquals(error.code, "PROVIDER_REFUSED");
    assertEquals(error.message.includes("abcd1234"), false);
  }
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

Deno.test("createJob() waits until the provider is done with the file", async () => {
  let asked = 0;
  await withProvider(
    () =>
      ++asked < 3
        ? problem(400, "File 'file-1' is not ready")()
        : Response.json({ id: "ftjob-1" }),
    async (baseUrl) => {
      assertEquals(await createJob(baseUrl), { providerJobId: "ftjob-1" });
    },
  );
  assertEquals(asked, 3);
});

Deno.test("createJob() tells a file that takes too long from a refusal", async () => {
  for (const status of [400, 409, 422]) {
    await withProvider(
      problem(status, "The file is still being processed"),
      async (baseUrl) => {
        const provider = openAiCompatibleProvider({
          baseUrl,
          apiKey: API_KEY,
          readyWithinMs: 0,
        });
        const error = await assertRejects(
          () => provider.createJob({ model: "m", fileId: "file-1" }, "key-1"),
          ProviderError,
        );
        assertEquals(error.code, "FILE_NOT_READY");
      },
    );
  }
});

Deno.test("createJob() waits no longer for a file where the provider is slow to say that it is not ready", async () => {
  let asked = 0;
  const slow = async () => {
    asked++;
    await new Promise((resolve) => setTimeout(resolve, 400));
    return problem(400, "File 'file-1' is not ready")();
  };
  await withProvider(slow, async (baseUrl) => {
    const provider = openAiCompatibleProvider({
      baseUrl,
      apiKey: API_KEY,
      readyWithinMs: 600,
    });
    const error = await assertRejects(
      () => provider.createJob({ model: "m", fileId: "file-1" }, "key-1"),
      ProviderError,
    );
    assertEquals([error.code, asked], ["FILE_NOT_READY", 1]);
  });
});

function findJob(baseUrl: string) {
  return openAiCompatibleProvider({ baseUrl, apiKey: API_KEY })
    .findJob("file-1");
}

Deno.test("findJob() looks for the job with a file, page after page", async () => {
  const asked: string[] = [];
  const page = (id: string, training_file: string, has_more = true) =>
    Response.json({ data: [{ id, training_file }], has_more });
  await withProvider((req) => {
    const { pathname, search } = new URL(req.url);
    asked.push(pathname + search);
    return asked.length === 1 ? page("a/b", "other") : page("c", "file-1");
  }, async (baseUrl) => {
    assertEquals(await findJob(baseUrl), { providerJobId: "c" });
  });
  assertEquals(asked, [
    "/v1/fine_tuning/jobs?limit=100",
    "/v1/fine_tuning/jobs?limit=100&after=a%2Fb",
  ]);
  await withProvider(() => page("a", "other", false), async (baseUrl) => {
    assertEquals(await findJob(baseUrl), null);
  });
});

Deno.test("findJob() finds none where the provider has no such route, and throws where it fails", async () => {
  await withProvider(problem(404, "No such route"), async (baseUrl) => {
    assertEquals(await findJob(baseUrl), null);
  });
  for (
    const [answer, code] of [
      [problem(500, "down"), "PROVIDER_UNAVAILABLE"],
      [() => Response.json({}), "PROVIDER_UNAVAILABLE"],
      [problem(400, "No"), "PROVIDER_REFUSED"],
    ] as const
  ) {
    await withProvider(answer, async (baseUrl) => {
      const error = await assertRejects(() => findJob(baseUrl), ProviderError);
      assertEquals(error.code, code);
    });
  }
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
