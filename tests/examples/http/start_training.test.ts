import { assert, assertEquals } from "@std/assert";
import { jobStore } from "../../../functions/start-training/job_store.ts";
import { call, fixture, formWith } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const FUNCTION = "start-training";

const stack = withStack();
let ada: Actor;
let ben: Actor;
let request: { datasetId: string; model: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
  const document = await call(stack(), ada, "process-document", {
    body: formWith(await fixture("guide.md"), "guide.md"),
  });
  const dataset = await call(stack(), ada, "generate-training-data", {
    body: { documentIds: [document.body.documentId] },
  });
  request = { datasetId: dataset.body.datasetId, model: "gpt-4o-mini" };
});

async function jobs({ client }: Actor) {
  const { data } = await client.from("training_jobs").select().throwOnError();
  return data;
}

/** Points the functions, which run in this process, at another provider. */
async function withProvider(
  answer: (route: string) => Response,
  test: () => Promise<void>,
): Promise<void> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (req) => {
      await req.body?.cancel();
      return answer(`${req.method} ${new URL(req.url).pathname}`);
    },
  );
  const before = Deno.env.get("TRAINING_API_URL")!;
  Deno.env.set("TRAINING_API_URL", `http://127.0.0.1:${server.addr.port}`);
  try {
    await test();
  } finally {
    Deno.env.set("TRAINING_API_URL", before);
    await server.shutdown();
  }
}

Deno.test("a training job is submitted, recorded and answered with 202", async () => {
  const { status, body } = await call(stack(), ada, FUNCTION, {
    body: request,
  });
  assertEquals([status, body.status], [202, "submitted"]);
  const job = (await jobs(ada)).find(({ id }) => id === body.jobId)!;
  assertEquals(job.provider_job_id, body.providerJobId);
  assertEquals(
    [job.status, job.dataset_id, job.model],
    ["submitted", request.datasetId, request.model],
  );

  for (
    const unfounded of [
      { status: "submitted", provider_job_id: null },
      { status: "failed", error_message: null },
    ]
  ) {
    const { error } = await ada.client.from("training_jobs").update(unfounded)
      .eq("id", job.id);
    assertEquals(error?.code, "23514");
  }
  const late = { status: "failed", errorMessage: "late" } as const;
  await jobStore(ada.client).updateJob(body.jobId, late);
  assertEquals((await jobs(ada)).find(({ id }) => id === job.id), job);
});

Deno.test("twenty calls with one key make one job, here and at the provider", async () => {
  const callsBefore = stack().providerCalls();
  const jobsBefore = (await jobs(ada)).length;
  const keyed = { body: request, key: unique("key") };
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => call(stack(), ada, FUNCTION, keyed)),
  );
  const { body, replayed } = await call(stack(), ada, FUNCTION, keyed);
  assert(replayed);
  for (const answer of answers) {
    assert([202, 409].includes(answer.status), `got ${answer.status}`);
    if (answer.status === 202) assertEquals(answer.body, body);
  }
  assertEquals(stack().providerCalls() - callsBefore, 1);
  assertEquals((await jobs(ada)).length - jobsBefore, 1);
});

Deno.test("a provider that is down gets 503, and the retry goes on with the same job", async () => {
  const keyed = { body: request, key: unique("key") };
  await withProvider(() => new Response("down", { status: 500 }), async () => {
    const answer = await call(stack(), ada, FUNCTION, keyed);
    assertEquals(
      [answer.status, answer.body.code, answer.body.retryable],
      [503, "PROVIDER_UNAVAILABLE", true],
    );
    assert(answer.headers.has("retry-after"));
  });
  const failed = (await jobs(ada)).filter(({ status }) => status === "failed");
  assertEquals(failed.length, 1);
  const answer = await call(stack(), ada, FUNCTION, keyed);
  assertEquals([answer.status, answer.body.jobId], [202, failed[0]!.id]);
});

Deno.test("a provider that ignores keys is asked for its job before another is made", async () => {
  const keyed = { body: request, key: unique("key") };
  const asked: string[] = [];
  const provider = (route: string) => {
    asked.push(route);
    switch (route) {
      case "POST /files":
        return Response.json({ id: "file-1" });
      case "GET /fine_tuning/jobs":
        return Response.json({
          data: [{ id: "ftjob-1", training_file: "file-1" }],
        });
      default:
        // It has started the job, and its answer does not arrive.
        return new Response("gateway", { status: 502 });
    }
  };
  await withProvider(provider, async () => {
    assertEquals((await call(stack(), ada, FUNCTION, keyed)).status, 503);
    const answer = await call(stack(), ada, FUNCTION, keyed);
    assertEquals([answer.status, answer.body.providerJobId], [202, "ftjob-1"]);
    const job = (await jobs(ada)).find(({ id }) => id === answer.body.jobId)!;
    assertEquals([job.status, job.error_message], ["submitted", null]);
  });
  assertEquals(asked, [
    "POST /files",
    "POST /fine_tuning/jobs",
    "GET /fine_tuning/jobs",
  ]);
});

Deno.test("a key that has expired starts no second job for the same request", async () => {
  const keyed = { body: request, key: unique("key") };
  const first = await call(stack(), ada, FUNCTION, keyed);
  const callsBefore = stack().providerCalls();
  const jobsBefore = await jobs(ada);
  await stack().sql(
    `update public.idempotency_keys set expires_at = now() - interval '1 second'
    where idempotency_key = $1`,
    [keyed.key],
  );
  const again = await call(stack(), ada, FUNCTION, keyed);
  assertEquals([again.status, again.replayed], [202, false]);
  assertEquals(again.body, first.body);
  assertEquals(stack().providerCalls(), callsBefore);
  assertEquals(await jobs(ada), jobsBefore);
});

Deno.test("a file that is not ready right after its upload is waited for", async () => {
  let isReady = false;
  const provider = (route: string) => {
    if (route === "POST /files") return Response.json({ id: "file-2" });
    if (isReady) return Response.json({ id: "ftjob-2" });
    isReady = true;
    return Response.json({ error: { message: "File 'file-2' is not ready" } }, {
      status: 400,
    });
  };
  await withProvider(provider, async () => {
    const { status, body } = await call(stack(), ada, FUNCTION, {
      body: request,
    });
    assertEquals([status, body.providerJobId], [202, "ftjob-2"]);
  });
});

Deno.test("a provider's refusal is told as 502 with its reason, without our key", async () => {
  const apiKey = Deno.env.get("TRAINING_API_KEY");
  const refuse = () =>
    Response.json({ error: { message: `No such model, ${apiKey}` } }, {
      status: 400,
    });
  await withProvider(refuse, async () => {
    const answer = await call(stack(), ada, FUNCTION, { body: request });
    assertEquals(
      [answer.status, answer.body.code, answer.body.retryable],
      [502, "PROVIDER_REFUSED", false],
    );
    assertEquals(
      answer.body.detail,
      "Cannot upload the data set: the provider answered 400: No such model, [key]",
    );
  });
});

Deno.test("a provider's reason that is cut inside a character is told and recorded", async () => {
  const reason = "No such model \ud83d";
  const refuse = () =>
    new Response(JSON.stringify({ error: { message: reason } }), {
      status: 400,
    });
  const keyed = { body: request, key: unique("key") };
  await withProvider(refuse, async () => {
    const answer = await call(stack(), ada, FUNCTION, keyed);
    assertEquals([answer.status, answer.body.code], [502, "PROVIDER_REFUSED"]);
    const [job] = (await jobs(ada)).filter(({ error_message }) =>
      error_message === answer.body.detail
    );
    assertEquals(job?.status, "failed");
  });
});

Deno.test("without a provider the answer says which secrets to set", async () => {
  const apiKey = Deno.env.get("TRAINING_API_KEY")!;
  Deno.env.delete("TRAINING_API_KEY");
  try {
    const answer = await call(stack(), ada, FUNCTION, { body: request });
    assertEquals(
      [answer.status, answer.body.code],
      [503, "PROVIDER_NOT_CONFIGURED"],
    );
  } finally {
    Deno.env.set("TRAINING_API_KEY", apiKey);
  }
});

Deno.test("somebody else's data set is as unknown as one that is not there", async () => {
  const before = stack().providerCalls();
  for (const datasetId of [request.datasetId, crypto.randomUUID()]) {
    const answer = await call(stack(), ben, FUNCTION, {
      body: { ...request, datasetId },
    });
    assertEquals([answer.status, answer.body.code], [404, "DATASET_NOT_FOUND"]);
  }
  const { error } = await ben.client.from("training_jobs").insert({
    request_id: "r",
    dataset_id: request.datasetId,
    model: "m",
  });
  assertEquals(error?.code, "23503");
  assertEquals(await jobs(ben), []);
  assertEquals(stack().providerCalls(), before);
});

Deno.test("a malformed request is refused before a job is recorded", async () => {
  const before = (await jobs(ada)).length;
  for (
    const body of [
      {},
      { ...request, model: " " },
      { ...request, model: "a\u0000b" },
      { ...request, model: "m".repeat(201) },
      { ...request, datasetId: 1 },
    ]
  ) {
    const answer = await call(stack(), ada, FUNCTION, { body });
    assertEquals([answer.status, answer.body.code], [400, "REQUEST_INVALID"]);
  }
  assertEquals((await jobs(ada)).length, before);
});
