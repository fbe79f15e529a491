import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../database.types.ts";
import { StoreError } from "../store_error.ts";

/** A training job as far as it has come. */
export interface TrainingJob {
  id: string;
  /** `null` until the provider has the file. */
  providerFileId: string | null;
  /** `null` until the provider has the job. */
  providerJobId: string | null;
}

/** What starting a training needs of a database. */
export interface JobStore {
  /** The JSON Lines of a data set; `null` when the caller has none with this id. */
  readDataset(datasetId: string): Promise<string | null>;
  /** The latest job of a request, if an earlier attempt recorded one. */
  findJob(requestId: string): Promise<TrainingJob | null>;
  /** Records a job that is about to be submitted. */
  createJob(
    job: { requestId: string; datasetId: string; model: string },
  ): Promise<TrainingJob>;
  /** Records how far a job has come. */
  updateJob(id: string, progress: JobProgress): Promise<void>;
}

/** A step of a training job. */
export type JobProgress =
  | { status: "submitting"; providerFileId: string }
  | { status: "submitted"; providerJobId: string }
  | { status: "failed"; errorMessage: string };

const COLUMNS = "id, provider_file_id, provider_job_id";

// The bound of the column; messages are made to be shorter.
const MAX_ERROR_LENGTH = 500;

/** The store behind a client that acts as the caller. */
export function jobStore(supabase: SupabaseClient<Database>): JobStore {
  return {
    async readDataset(datasetId) {
      const { data, error } = await supabase
        .from("training_datasets")
        .select("content")
        .eq("id", datasetId)
        .maybeSingle();
      if (error) {
        throw new StoreError(`Cannot read data set ${datasetId}`, error);
      }
      return data?.content ?? null;
    },
    async findJob(requestId) {
      const { data, error } = await supabase
        .from("training_jobs")
        .select(COLUMNS)
        .eq("request_id", requestId)
        .order("created_at", { ascending: false })
        .limit(1)
        .maybeSingle();
      if (error) throw new StoreError("Cannot look for a training job", error);
      return data && fromColumns(data);
    },
    async createJob({ requestId, datasetId, model }) {
      const { data, error } = await supabase
        .from("training_jobs")
        .insert({ request_id: requestId, dataset_id: datasetId, model })
        .select(COLUMNS)
        .single();
      if (error) throw new StoreError("Cannot record a training job", error);
      return fromColumns(data);
    },
    async updateJob(id, progress) {
      const { error } = await supabase
        .from("training_jobs")
        .update(toColumns(progress))
        .eq("id", id);
      if (error) {
        throw new StoreError(
          `Cannot record that training job ${id} is ${progress.status}`,
          error,
        );
      }
    },
  };
}

function fromColumns(row: {
  id: string;
  provider_file_id: string | null;
  provider_job_id: string | null;
}): TrainingJob {
  return {
    id: row.id,
    providerFileId: row.provider_file_id,
    providerJobId: row.provider_job_id,
  };
}

function toColumns(progress: JobProgress) {
  const { status } = progress;
  switch (status) {
    case "submitting":
      return { status, provider_file_id: progress.providerFileId };
    case "submitted":
      return {
        status,
        provider_job_id: progress.providerJobId,
        error_message: null,
      };
    case "failed":
      return {
        status,
        error_message: progress.errorMessage.slice(0, MAX_ERROR_LENGTH),
      };
  }
}
