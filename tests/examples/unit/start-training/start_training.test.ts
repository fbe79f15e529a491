import { assertEquals, assertRejects } from "@std/assert";
import type {
  JobProgress,
  JobStore,
} from "../../../../functions/start-training/job_store.ts";
import {
  ProviderError,
  type TrainingProvider,
} from "../../../../functions/start-training/provider.ts";
import {
  DatasetNotFoundError,
  type RunStep,
  startTraining,
} from "../../../../functions/start-training/start_training.ts";

const request = { datasetId: "d", model: "m" };

/** The steps of one request, which all of its attempts share. */
function stepsOf(key: string): RunStep {
  const finished = new Map<string, unknown>();
  return async <T>(
    name: string,
    work: (step: { idempotencyKey: string }) => Promise<T>,
  ) => {
    if (!finished.has(name)) {
      finished.set(name, await work({ idempotencyKey: `${key}-${name}` }));
    }
    return finished.get(name) as T;
  };
}

function memory() {
  const jobs = new Map<
    string,
    { id: string; status: string; providerJobId: string | null }
  >();
  let failing: JobProgress["status"] | undefined;
  const store: JobStore = {
    readDataset: (id) => Promise.resolve(id === "d" ? "{}\n" : null),
    createJob: ({ requestId }) => {
      const id = `job-of-${requestId}`;
      const job = jobs.get(id) ??
        { id, status: "submitting", providerJobId: null };
      jobs.set(id, job);
      return Promise.resolve({ id, providerJobId: job.providerJobId });
    },
    updateJob: (id, progress) => {
      if (progress.status === failing) {
        failing = undefined;
        return Promise.reject(new Error("the database went away"));
      }
      Object.assign(jobs.get(id)!, progress);
      return Promise.resolve();
    },
  };
  return {
    store,
    statuses: () => [...jobs.values()].map(({ status }) => status),
    failNext: (status: JobProgress["status"]) => failing = status,
  };
}

function recorder() {
  const calls: unknown[] = [];
  const started = new Map<string, string>();
  let failing: number | undefined;
  let losing = false;
  let isReady = true;
  const call = <T>(what: unknown[], answer: T): Promise<T> => {
    if (failing === calls.length) {
      failing = undefined;
      return Promise.reject(new ProviderError("PROVIDER_UNAVAILABLE", "down"));
    }
    calls.push(what);
    return Promise.resolve(answer);
  };
  const provider: TrainingProvider = {
    uploadFile: (file, key) =>
      call(["file", file.name, key], { fileId: `file-of-${key}` }),
    findJob: (fileId) => {
      const providerJobId = started.get(fileId);
      return call(
        ["find", fileId],
        providerJobId === undefined ? null : { providerJobId },
      );
    },
    createJob: async (job, key) => {
      if (!isReady) throw new ProviderError("FILE_NOT_READY", "wait");
      const answer = await call(["job", job.fileId, key], {
        providerJobId: `ft-of-${key}`,
      });
      started.set(job.fileId, answer.providerJobId);
      if (!losing) return answer;
      losing = false;
      throw new ProviderError("PROVIDER_UNAVAILABLE", "lost");
    },
  };
  return {
    provider,
    calls,
    /** @param after How many calls have got through by then. */
    failNext: (after: number) => failing = after,
    loseNextAnswer: () => losing = true,
    setReady: (ready: boolean) => isReady = ready,
  };
}

const JOB = "job-of-r-record-job";
const UPLOAD = ["file", `${JOB}.jsonl`, "r-upload-file"];
const CREATE = ["job", "file-of-r-upload-file", "r-create-job"];

Deno.test("startTraining() uploads, starts the job, each under a key of its own, and records both", async () => {
  const { store, statuses } = memory();
  const { provider, calls } = recorder();
  assertEquals(await startTraining(store, provider, stepsOf("r"), request), {
    jobId: JOB,
    providerJobId: "ft-of-r-create-job",
    status: "submitted",
  });
  assertEquals(calls, [UPLOAD, CREATE]);
  assertEquals(statuses(), ["submitted"]);
});

Deno.test("startTraining() goes on with the job of an attempt that failed", async () => {
  const { store, statuses } = memory();
  const { provider, calls, failNext } = recorder();
  const steps = stepsOf("r");
  for (const failed of [[], [UPLOAD]]) {
    failNext(failed.length);
    await assertRejects(
      () => startTraining(store, provider, steps, request),
      ProviderError,
    );
    assertEquals(statuses(), ["failed"]);
    assertEquals(calls, failed);
  }
  await startTraining(store, provider, steps, request);
  assertEquals(statuses(), ["submitted"]);
  assertEquals(calls, [UPLOAD, CREATE]);
});

Deno.test("startTraining() asks the provider nothing again when only the record was missing", async () => {
  const { store, statuses, failNext } = memory();
  const { provider, calls } = recorder();
  const steps = stepsOf("r");
  failNext("submitted");
  await assertRejects(() => startTraining(store, provider, steps, request));
  assertEquals(statuses(), ["submitting"]);
  await startTraining(store, provider, steps, request);
  assertEquals(statuses(), ["submitted"]);
  assertEquals(calls, [UPLOAD, CREATE]);
});

Deno.test("startTraining() finds the job of an attempt whose answer was lost", async () => {
  const { store, statuses } = memory();
  const { provider, calls, loseNextAnswer } = recorder();
  const steps = stepsOf("r");
  loseNextAnswer();
  await assertRejects(
    () => startTraining(store, provider, steps, request),
    ProviderError,
  );
  const { providerJobId } = await startTraining(store, provider, steps, {
    ...request,
    isRetry: true,
  });
  assertEquals(providerJobId, "ft-of-r-create-job");
  assertEquals(calls, [UPLOAD, CREATE, ["find", "file-of-r-upload-file"]]);
  assertEquals(statuses(), ["submitted"]);
});

Deno.test("startTraining() does not take a file that is not ready for a failure", async () => {
  const { store, statuses } = memory();
  const { provider, calls, setReady } = recorder();
  const steps = stepsOf("r");
  setReady(false);
  const error = await assertRejects(
    () => startTraining(store, provider, steps, request),
    ProviderError,
  );
  assertEquals([error.code, statuses()], ["FILE_NOT_READY", ["submitting"]]);
  setReady(true);
  const retry = { ...request, isRetry: true };
  await startTraining(store, provider, steps, retry);
  assertEquals(calls, [UPLOAD, ["find", "file-of-r-upload-file"], CREATE]);
  assertEquals(statuses(), ["submitted"]);
});

Deno.test("startTraining() starts another job for another request", async () => {
  const { store, statuses } = memory();
  const { provider } = recorder();
  await startTraining(store, provider, stepsOf("r"), request);
  await startTraining(store, provider, stepsOf("r2"), request);
  assertEquals(statuses(), ["submitted", "submitted"]);
});

Deno.test("startTraining() records nothing about a data set that is not there", async () => {
  const { store, statuses } = memory();
  const { provider, calls } = recorder();
  const error = await assertRejects(
    () =>
      startTraining(store, provider, stepsOf("r"), {
        ...request,
        datasetId: "x",
      }),
    DatasetNotFoundError,
  );
  assertEquals(error.code, "DATASET_NOT_FOUND");
  assertEquals([statuses(), calls], [[], []]);
});
