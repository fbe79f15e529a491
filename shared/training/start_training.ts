import type { JobStore, TrainingJob } from "./job_store.ts";
import type { TrainingProvider } from "./provider.ts";
import { ProviderError } from "./provider_error.ts";
import { TrainingError } from "./training_error.ts";

/** What to train, and which request asks for it. */
export interface TrainingRequest {
  datasetId: string;
  model: string;
  /** The same for every attempt at one request. */
  requestId: string;
  /** Whether an earlier attempt at this request may have come some way. */
  isRetry: boolean;
}

/** A job that the provider has. */
export interface StartedTraining {
  jobId: string;
  providerJobId: string;
  status: "submitted";
}

/**
 * Hands a data set to the provider and starts a training job there.
 *
 * Each step is recorded before the next, and the provider gets our job id as
 * its idempotency key: a retry goes on where the last attempt stopped, with the
 * same file and the same key, and not with a second job.
 *
 * @throws {TrainingError} When the caller has no such data set.
 * @throws {ProviderError} When the provider refuses or fails; the job is then
 * recorded as failed.
 * @throws {StoreError} When the database fails.
 */
export async function startTraining(
  store: JobStore,
  provider: TrainingProvider,
  request: TrainingRequest,
): Promise<StartedTraining> {
  const { datasetId, model, requestId, isRetry } = request;
  const earlier = isRetry ? await store.findJob(requestId) : null;
  if (earlier?.providerJobId) return started(earlier.id, earlier.providerJobId);

  const content = await store.readDataset(datasetId);
  if (content === null) {
    throw new TrainingError(
      "DATASET_NOT_FOUND",
      `You have no data set ${datasetId}: check the id`,
    );
  }
  const job = earlier ??
    await store.createJob({ requestId, datasetId, model });
  const providerJobId = await submit(store, provider, { job, model, content });
  await store.updateJob(job.id, { status: "submitted", providerJobId });
  return started(job.id, providerJobId);
}

async function submit(
  store: JobStore,
  provider: TrainingProvider,
  { job, model, content }: {
    job: TrainingJob;
    model: string;
    content: string;
  },
): Promise<string> {
  try {
    const { id } = job;
    const fileId = job.providerFileId ??
      (await provider.uploadFile(
        { name: `${id}.jsonl`, content },
        `${id}-file`,
      ))
        .fileId;
    // Before the job is asked for: a retry must name the same file, or the
    // provider would find the same key with another request.
    const progress = { status: "submitting", providerFileId: fileId } as const;
    await store.updateJob(id, progress);
    const created = await provider.createJob({ model, fileId }, id);
    return created.providerJobId;
  } catch (error) {
    if (error instanceof ProviderError) {
      const progress = {
        status: "failed",
        errorMessage: error.message,
      } as const;
      await store.updateJob(job.id, progress);
    }
    throw error;
  }
}

function started(jobId: string, providerJobId: string): StartedTraining {
  return { jobId, providerJobId, status: "submitted" };
}
