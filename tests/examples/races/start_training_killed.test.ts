import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { createProvider } from "../../../scripts/stack/provider.ts";
import { call, fixture, formWith } from "../../support/call.ts";
import { type Dev, startDev } from "../../support/dev.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, signUp } from "../../support/stack.ts";

const CREATE_JOB = "/v1/fine_tuning/jobs";
const DATABASE_URL = Deno.env.get("DATABASE_URL") ?? "";

// The provider outlives the functions' process, as a real one does.
const provider = createProvider();
let onAnswer = (_path: string): Promise<void> => Promise.resolve();
let providerServer: Deno.HttpServer<Deno.NetAddr>;
let sql: postgres.Sql;
let dev: Dev;
let ada: Actor;
let request: { datasetId: string; model: string };

Deno.test.beforeAll(async () => {
  sql = postgres(DATABASE_URL, { max: 4 });
  providerServer = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (req) => {
      const { pathname } = new URL(req.url);
      const answer = await provider.fetch(pathname, req);
      await onAnswer(pathname);
      return answer;
    },
  );
  dev = await start();
  ada = await signUp({
    apiUrl: dev.settings().get("API_URL")!,
    publishableKey: dev.settings().get("PUBLISHABLE_KEY")!,
  });
  const document = await ask("process-document", {
    body: formWith(await fixture("guide.md"), "guide.md"),
  });
  const dataset = await ask("generate-training-data", {
    body: { documentIds: [document.body.documentId] },
  });
  request = { datasetId: dataset.body.datasetId, model: "gpt-4o-mini" };
});

Deno.test.afterAll(async () => {
  await dev.stop("SIGTERM");
  await providerServer.shutdown();
  await sql.end();
});

function start(): Promise<Dev> {
  return startDev(["--port", "0", "--database-url", DATABASE_URL], {
    TRAINING_API_URL: `http://127.0.0.1:${providerServer.addr.port}/v1`,
    TRAINING_API_KEY: provider.apiKey,
  });
}

function ask(name: string, options: Parameters<typeof call>[3]) {
  const apiUrl = dev.settings().get("API_URL")!;
  return call({ apiUrl }, ada, name, options);
}

/** Asks for a training, with the process killed on the way. */
async function killedOnce(
  key: string,
  killedAt: (kill: () => Promise<void>) => Promise<unknown>,
): Promise<void> {
  const asked = ask("start-training", { body: request, key }).then(
    ({ status }) => `answered with ${status}`,
    () => "cut off",
  );
  await killedAt(async () => void await dev.stop("SIGKILL"));
  assertEquals(await asked, "cut off");
  onAnswer = () => Promise.resolve();
  dev = await start();
}

/** When the provider has done what this path stands for, and has not said so. */
function beforeAnswerOf(path: string) {
  return (kill: () => Promise<void>): Promise<void> =>
    new Promise((resolve, reject) => {
      onAnswer = async (answered) => {
        if (answered === path) await kill().then(resolve, reject);
      };
    });
}

/** When the provider's answer is kept, and the job not yet recorded as submitted. */
function onceKept(key: string) {
  return (kill: () => Promise<void>): Promise<unknown> =>
    new Promise((resolve, reject) => {
      onAnswer = async (answered) => {
        if (answered !== CREATE_JOB) return;
        const locked = Promise.withResolvers<void>();
        sql.begin(async (tx) => {
          await tx`select from public.training_jobs for update`;
          locked.resolve();
          await untilKept(key, "create-job");
          await kill();
        }).then(resolve, reject);
        await locked.promise;
      };
    });
}

async function untilKept(key: string, step: string): Promise<void> {
  for (let waited = 0; waited < 400; waited++) {
    const kept = await sql`select from public.idempotency_keys
      where idempotency_key = ${key} and steps ? ${step}`;
    if (kept.length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`The step "${step}" of "${key}" was not kept within 10 s`);
}

async function retryAfterCrash(key: string) {
  const early = await ask("start-training", { body: request, key });
  assertEquals([early.status, early.body.code], [409, "REQUEST_IN_PROGRESS"]);
  // Thirty seconds go by.
  await sql`update public.idempotency_keys
    set lease_expires_at = now() - interval '1 second' where idempotency_key = ${key}`;
  return await ask("start-training", { body: request, key });
}

async function jobOf(key: string) {
  const rows = await sql<
    { attempt: number; id: string; provider_job_id: string }[]
  >`
    select k.attempt, j.id, j.provider_job_id
    from public.idempotency_keys as k
    join public.training_jobs as j
      on to_jsonb(j.id) = k.steps -> 'record-job' -> 'value' -> 'id'
    where k.idempotency_key = ${key}`;
  assertEquals(rows.length, 1);
  return rows[0]!;
}

const jobsMade = async () =>
  (await sql`select from public.training_jobs`).length;

async function countNew(work: () => Promise<void>) {
  const before = provider.calls();
  const jobsBefore = await jobsMade();
  await work();
  const { jobs, requests, files } = provider.calls();
  return {
    recorded: await jobsMade() - jobsBefore,
    jobs: jobs - before.jobs,
    requests: requests - before.requests,
    files: files - before.files,
  };
}

Deno.test("killed between the provider's answer and its own, start-training makes one job: the retry finds it", async () => {
  const made = await countNew(async () => {
    const key = unique("killed");
    await killedOnce(key, beforeAnswerOf(CREATE_JOB));
    const { status, body } = await retryAfterCrash(key);
    assertEquals(status, 202);
    assertEquals(await jobOf(key), {
      attempt: 2,
      id: body.jobId,
      provider_job_id: body.providerJobId,
    });
  });
  assertEquals(made, { recorded: 1, jobs: 1, requests: 1, files: 1 });
});

Deno.test("killed while the file is on its way, start-training goes on with the job that it recorded", async () => {
  const made = await countNew(async () => {
    const key = unique("killed");
    await killedOnce(key, beforeAnswerOf("/v1/files"));
    assertEquals((await retryAfterCrash(key)).status, 202);
    assertEquals((await jobOf(key)).attempt, 2);
  });
  // The emulated provider takes every file for another one.
  assertEquals(made, { recorded: 1, jobs: 1, requests: 1, files: 2 });
});

Deno.test("killed once the provider's answer is kept, start-training makes one job: the retry does not ask again", async () => {
  const made = await countNew(async () => {
    const key = unique("killed");
    await killedOnce(key, onceKept(key));
    assertEquals((await retryAfterCrash(key)).status, 202);
    assertEquals((await jobOf(key)).attempt, 2);
  });
  assertEquals(made, { recorded: 1, jobs: 1, requests: 1, files: 1 });
});
