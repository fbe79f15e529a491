import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { StoreError } from "../_kit/store_error.ts";

/** What starting a training needs of a database. */
export interface JobStore {
  /** The JSON Lines of a data set; `null` when the caller has none with this id. */
  readDataset(datasetId: string): Promise<string | null>;
  /**
   * Records a job that is about to be submitted, once for each request id.
   *
   * @returns The job's id, and the provider's where it has the job already.
   */
  createJob(
    job: { requestId: string; datasetId: string; model: string },
  ): Promise<RecordedJob>;
  /** Records what became of a job. */
  updateJob(id: string, progress: JobProgress): Promise<void>;
}

/** A job as it is recorded. */
export interface RecordedJob {
  id: string;
  /** `null`: it is not known that the provider has it. */
  providerJobId: string | null;
}

/** What became of a training job. */
export type JobProgress =
  | { status: "submitted"; providerFileId: string; providerJobId: string }
  | { status: "failed"; errorMessage: string };

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
    async createJob({ requestId, datasetId, model }) {
      const row = { request_id: requestId, dataset_id: datasetId, model };
      // Safe to repeat: the answer to the last attempt's insert may be lost.
      const inserted = await supabase
        .from("training_jobs")
        .upsert(row, {
          onConflict: "user_id,request_id",
          ignoreDuplicates: true,
        });
      const { data, error } = inserted.error ? inserted : await supabase
        .from("training_jobs")
        .select("id, provider_job_id")
        .eq("request_id", requestId)
        .single();
      if (error) throw new StoreError("Cannot record a training job", error);
      return { id: data!.id, providerJobId: data!.provider_job_id };
    },
    async updateJob(id, progress) {
      const { error } = await supabase
        .from("training_jobs")
        .update(toColumns(progress))
        .eq("id", id)
        // Once the provider has the job, a late attempt's failure is no news.
        .is("provider_job_id", null);
      if (error) {
        throw new StoreError(
          `Cannot record that training job ${id} is ${progress.status}`,
          error,
        );
      }
    },
  };
}

function toColumns(progress: JobProgress) {
  const { status } = progress;
  switch (status) {
    case "submitted":
      return {
        status,
        provider_file_id: progress.providerFileId,
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
