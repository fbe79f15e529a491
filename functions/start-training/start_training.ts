import type { JobStore } from "./job_store.ts";
import { ProviderError, type TrainingProvider } from "./provider.ts";

/**
 * Runs a part of the work once over all attempts at one request, and gives
 * later attempts its result. Its key is the same in every attempt.
 */
export type RunStep = <T>(
  name: string,
  work: (step: { idempotencyKey: string }) => Promise<T>,
) => Promise<T>;

/** There is no such data set, or it is somebody else's. */
export class DatasetNotFoundError extends Error {
  override readonly name = "DatasetNotFoundError";
  readonly code = "DATASET_NOT_FOUND";

  constructor(datasetId: string) {
    super(`You have no data set ${datasetId}: check the id`);
  }
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
 * A retry goes on where the last attempt stopped. The one call whose outcome
 * nobody knows is repeated with the same key; and since a provider may ignore
 * keys, it is first asked for a job with this file, which no other request has.
 *
 * @param request `isRetry`: whether an attempt was made before.
 * @throws {DatasetNotFoundError} When the caller has no such data set.
 * @throws {ProviderError} When the provider refuses or fails; the job is then
 * recorded as failed, unless its file only takes longer.
 * @throws {StoreError} When the database fails.
 */
export async function startTraining(
  store: JobStore,
  provider: TrainingProvider,
  step: RunStep,
  request: { datasetId: string; model: string; isRetry?: boolean },
): Promise<StartedTraining> {
  const { datasetId, model, isRetry = false } = request;
  const content = await store.readDataset(datasetId);
  if (content === null) {
    throw new DatasetNotFoundError(datasetId);
  }
  const { id: jobId, providerJobId: known } = await step(
    "record-job",
    ({ idempotencyKey: requestId }) =>
      store.createJob({ requestId, datasetId, model }),
  );
  // The key has expired since, and with it what the steps were.
  if (known !== null) {
    return { jobId, providerJobId: known, status: "submitted" };
  }
  try {
    const file = { name: `${jobId}.jsonl`, content };
    const { fileId } = await step(
      "upload-file",
      ({ idempotencyKey }) => provider.uploadFile(file, idempotencyKey),
    );
    const { providerJobId } = await step(
      "create-job",
      async ({ idempotencyKey }) =>
        (isRetry ? await provider.findJob(fileId) : null) ??
          await provider.createJob({ model, fileId }, idempotencyKey),
    );
    const status = "submitted";
    await store.updateJob(jobId, {
      status,
      providerFileId: fileId,
      providerJobId,
    });
    return { jobId, providerJobId, status };
  } catch (error) {
    if (error instanceof ProviderError && error.code !== "FILE_NOT_READY") {
      const { message: errorMessage } = error;
      await store.updateJob(jobId, { status: "failed", errorMessage });
    }
    throw error;
  }
}
