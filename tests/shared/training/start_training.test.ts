import { assertEquals, assertRejects } from "@std/assert";
import type {
  JobProgress,
  JobStore,
  TrainingJob,
} from "../../../shared/training/job_store.ts";
import type { TrainingProvider } from "../../../shared/training/provider.ts";
import { ProviderError } from "../../../shared/training/provider_error.ts";
import { startTraining } from "../../../shared/training/start_training.ts";
import { TrainingError } from "../../../shared/training/training_error.ts";

const request = { datasetId: "d", model: "m", requestId: "r", isRetry: false };
const retry = { ...request, isRetry: true };

function memory() {
  const jobs: (TrainingJob & { status: string })[] = [];
  let failing: JobProgress["status"] | undefined;
  const store: JobStore = {
    readDataset: (id) => Promise.resolve(id === "d" ? "{}\n" : null),
    findJob: () => Promise.resolve(jobs.at(-1) ?? null),
    createJob: () => {
      const job = {
        id: `job-${jobs.length + 1}`,
        status: "submitting",
        providerFileId: null,
        providerJobId: null,
      };
      jobs.push(job);
      return Promise.resolve({ ...job });
    },
    updateJob: (id, progress) => {
      if (progress.status === failing) {
        failing = undefined;
        return Promise.reject(new Error("the database went away"));
      }
      Object.assign(jobs.find((job) => job.id === id)!, progress);
      return Promise.resolve();
    },
  };
  return {
    store,
    jobs,
    failNext: (status: JobProgress["status"]) => failing = status,
  };
}

function recorder() {
  const calls: unknown[] = [];
  let down = false;
  const call = <T>(what: unknown[], answer: T): Promise<T> => {
    if (down) {
      down = false;
      return Promise.reject(new ProviderError("PROVIDER_UNAVAILABLE", "down"));
    }
    calls.push(what);
    return Promise.resolve(answer);
  };
  const provider: TrainingProvider = {
    uploadFile: (file, key) =>
      call(["file", file.name, key], { fileId: `file-of-${key}` }),
    createJob: (job, key) =>
      call(["job", job.fileId, key], { providerJobId: `ft-of-${key}` }),
  };
  return { provider, calls, failNext: () => down = true };
}

const UPLOAD = ["file", "job-1.jsonl", "job-1-file"];
const CREATE = ["job", "file-of-job-1-file", "job-1"];

Deno.test("startTraining() uploads, starts the job under its own id, and records both", async () => {
  const { store, jobs } = memory();
  const { provider, calls } = recorder();
  assertEquals(await startTraining(store, provider, request), {
    jobId: "job-1",
    providerJobId: "ft-of-job-1",
    status: "submitted",
  });
  assertEquals(calls, [UPLOAD, CREATE]);
  assertEquals(jobs.map(({ status }) => status), ["submitted"]);
});

Deno.test("startTraining() goes on with the job of an attempt that failed", async () => {
  const { store, jobs } = memory();
  const { provider, calls, failNext } = recorder();
  failNext();
  await assertRejects(
    () => startTraining(store, provider, request),
    ProviderError,
  );
  assertEquals(jobs.map(({ status }) => status), ["failed"]);
  await startTraining(store, provider, retry);
  assertEquals(jobs.map(({ status }) => status), ["submitted"]);
  assertEquals(calls, [UPLOAD, CREATE]);
});

Deno.test("startTraining() asks for the same job again when it could not be recorded", async () => {
  const { store, jobs, failNext } = memory();
  const { provider, calls } = recorder();
  failNext("submitted");
  await assertRejects(() => startTraining(store, provider, request));
  await startTraining(store, provider, retry);
  assertEquals(calls, [UPLOAD, CREATE, CREATE]);
  assertEquals(jobs.length, 1);
});

Deno.test("startTraining() asks the provider nothing when the job is there already", async () => {
  const { store } = memory();
  const { provider, calls } = recorder();
  const first = await startTraining(store, provider, request);
  assertEquals(await startTraining(store, provider, retry), first);
  assertEquals(calls.length, 2);
});

Deno.test("startTraining() starts another job for another request", async () => {
  const { store, jobs } = memory();
  const { provider } = recorder();
  await startTraining(store, provider, request);
  await startTraining(store, provider, { ...request, requestId: "r2" });
  assertEquals(jobs.map(({ id }) => id), ["job-1", "job-2"]);
});

Deno.test("startTraining() records nothing about a data set that is not there", async () => {
  const { store, jobs } = memory();
  const { provider, calls } = recorder();
  const error = await assertRejects(
    () => startTraining(store, provider, { ...request, datasetId: "x" }),
    TrainingError,
  );
  assertEquals(error.code, "DATASET_NOT_FOUND");
  assertEquals([jobs, calls], [[], []]);
});
