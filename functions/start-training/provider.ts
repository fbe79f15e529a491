import { z } from "zod";

/** A training provider, as far as a job needs it. */
export interface TrainingProvider {
  /** Uploads JSON Lines to train on. The same key uploads at most once. */
  uploadFile(
    file: { name: string; content: string },
    idempotencyKey: string,
  ): Promise<{ fileId: string }>;
  /**
   * The job that was started with a file; `null` when there is none, or when
   * the provider tells of no jobs.
   */
  findJob(fileId: string): Promise<{ providerJobId: string } | null>;
  /**
   * Starts a job, as soon as the provider is ready for its file. The same key
   * starts at most one, where the provider honours keys.
   */
  createJob(
    job: { model: string; fileId: string },
    idempotencyKey: string,
  ): Promise<{ providerJobId: string }>;
}

/** Where the provider is, and how it is reached. */
export interface ProviderOptions {
  /** For instance `https://api.openai.com/v1`. */
  baseUrl: string;
  apiKey: string;
  /** @default {globalThis.fetch} */
  fetch?: typeof fetch;
  /**
   * How long one call may take, in milliseconds.
   *
   * @default {45_000}
   */
  timeoutMs?: number;
  /**
   * How long a file that was uploaded may take until it can be trained on, in
   * milliseconds.
   *
   * @default {30_000}
   */
  readyWithinMs?: number;
}

// A file of 16 MiB at 4 Mbit/s takes 34 s. Two calls and the time until a file
// is ready stay below the 150 s after which the gateway gives up on the request.
const DEFAULT_TIMEOUT_MS = 45_000;
const DEFAULT_READY_WITHIN_MS = 30_000;

// The first wait for a file; each further one is twice as long.
const FIRST_WAIT_MS = 250;

const Id = z.string().min(1).max(200);
const Created = z.object({ id: Id });
const Jobs = z.object({
  data: z.array(z.object({ id: Id, training_file: z.string() })),
  has_more: z.boolean().default(false),
});

// Newest first: the job of an attempt minutes ago is on the first page, unless
// hundreds were started since.
const JOBS_ON_A_PAGE = 100;
const MAX_PAGES = 5;

/**
 * An OpenAI-compatible provider. Whether keys are honoured is its own matter.
 *
 * Every method throws a {@link ProviderError} when the provider refuses, fails,
 * or does not answer in time.
 */
export function openAiCompatibleProvider(
  options: ProviderOptions,
): TrainingProvider {
  const { apiKey, fetch = globalThis.fetch } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, "");

  async function ask(
    attempt: string,
    path: string,
    request: RequestInit,
  ): Promise<{ status: number; answer: string }> {
    const headers = new Headers(request.headers);
    headers.set("Authorization", `Bearer ${apiKey}`);
    let status: number;
    let answer: string;
    try {
      const response = await fetch(baseUrl + path, {
        ...request,
        headers,
        // A redirect could carry the key to another host.
        redirect: "error",
        signal: AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS),
      });
      status = response.status;
      answer = await response.text();
    } catch (cause) {
      const late = cause instanceof Error && cause.name === "TimeoutError";
      throw new ProviderError(
        "PROVIDER_UNAVAILABLE",
        `${attempt}: the provider ${
          late ? "did not answer in time" : "cannot be reached"
        }; send the same request again`,
        { cause },
      );
    }
    if (isUnready(status, answer)) {
      throw new ProviderError(
        "FILE_NOT_READY",
        `${attempt}: the provider is not done with the file yet; send the same request again`,
      );
    }
    if (isMomentary(status)) {
      throw new ProviderError(
        "PROVIDER_UNAVAILABLE",
        `${attempt}: the provider answered ${status}; send the same request again`,
      );
    }
    return { status, answer };
  }

  async function create(
    attempt: string,
    path: string,
    body: FormData | string,
    idempotencyKey: string,
  ): Promise<string> {
    const headers = new Headers({ "Idempotency-Key": idempotencyKey });
    // The content type of a form carries its boundary; fetch sets it.
    if (typeof body === "string") {
      headers.set("Content-Type", "application/json");
    }
    const request = { method: "POST", headers, body };
    const { status, answer } = await ask(attempt, path, request);
    if (status >= 300) throw refusal(attempt, status, answer);
    const created = Created.safeParse(parse(answer));
    if (created.success) return created.data.id;
    throw unintelligible(attempt, status, "an id");
  }

  function refusal(attempt: string, status: number, answer: string) {
    const reason = refusalReason(status, answer, apiKey);
    return new ProviderError(
      "PROVIDER_REFUSED",
      `${attempt}: the provider answered ${status}${reason}`,
    );
  }

  function unintelligible(attempt: string, status: number, missing: string) {
    return new ProviderError(
      "PROVIDER_UNAVAILABLE",
      `${attempt}: the provider answered ${status} without ${missing}; send the same request again`,
    );
  }

  return {
    async uploadFile({ name, content }, idempotencyKey) {
      const form = new FormData();
      form.set("purpose", "fine-tune");
      form.set(
        "file",
        new File([content], name, { type: "application/jsonl" }),
      );
      return {
        fileId: await create(
          "Cannot upload the data set",
          "/files",
          form,
          idempotencyKey,
        ),
      };
    },
    async findJob(fileId) {
      const attempt = "Cannot look for the training job";
      let after = "";
      for (let page = 0; page < MAX_PAGES; page++) {
        const path = `/fine_tuning/jobs?limit=${JOBS_ON_A_PAGE}${
          after && `&after=${after}`
        }`;
        const { status, answer } = await ask(attempt, path, { method: "GET" });
        if (hasNoSuchRoute(status)) return null;
        if (status >= 300) throw refusal(attempt, status, answer);
        const jobs = Jobs.safeParse(parse(answer));
        if (!jobs.success) throw unintelligible(attempt, status, "jobs");
        const { data, has_more } = jobs.data;
        const job = data.find(({ training_file }) => training_file === fileId);
        if (job !== undefined) return { providerJobId: job.id };
        if (!has_more || data.length === 0) return null;
        after = encodeURIComponent(data.at(-1)!.id);
      }
      return null;
    },
    async createJob({ model, fileId }, idempotencyKey) {
      const start = () =>
        create(
          "Cannot start the training job",
          "/fine_tuning/jobs",
          JSON.stringify({ model, training_file: fileId }),
          idempotencyKey,
        );
      return {
        providerJobId: await onceReady(
          start,
          options.readyWithinMs ?? DEFAULT_READY_WITHIN_MS,
        ),
      };
    },
  };
}

/** Calls until the file is ready, or until the time for that is over. */
async function onceReady<T>(
  start: () => Promise<T>,
  readyWithinMs: number,
): Promise<T> {
  const until = performance.now() + readyWithinMs;
  for (let waitMs = FIRST_WAIT_MS;; waitMs *= 2) {
    try {
      return await start();
    } catch (error) {
      const isUnready = error instanceof ProviderError &&
        error.code === "FILE_NOT_READY";
      // What the provider takes to say so counts: the gateway does not wait.
      if (!isUnready || performance.now() + waitMs > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

function hasNoSuchRoute(status: number): boolean {
  return [404, 405, 501].includes(status);
}

// What providers say within seconds of an upload, with one status or another:
// "File 'file-1' is not ready", "… is still being processed".
const UNREADY = /\bnot (?:yet )?ready\b|\bstill (?:being )?process/i;

function isUnready(status: number, answer: string): boolean {
  const error = ErrorAnswer.safeParse(parse(answer));
  return status >= 400 && status < 500 && error.success &&
    UNREADY.test(error.data.error.message);
}

function isMomentary(status: number): boolean {
  return status >= 500 || [408, 409, 425, 429].includes(status);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What became of a call to the training provider. */
export type ProviderErrorCode =
  | "FILE_NOT_READY"
  | "PROVIDER_REFUSED"
  | "PROVIDER_UNAVAILABLE";

/**
 * The training provider did not do what it was asked. `PROVIDER_REFUSED`: it
 * will not, whenever asked again. `PROVIDER_UNAVAILABLE`: it may have, or may
 * yet. `FILE_NOT_READY`: it has the file, and will.
 */
export class ProviderError extends Error {
  override readonly name = "ProviderError";

  /** @param message What was attempted and what was wrong; without secrets. */
  constructor(
    readonly code: ProviderErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const ErrorAnswer = z.object({ error: z.object({ message: z.string() }) });

// What a sentence or two take; a page of HTML is no reason.
const MAX_REASON_LENGTH = 200;

// The providers' own form of keys: what they quote of one is often not exactly
// the key, but its ends with stars between.
const KEY_LIKE = /\b(?:sk|key|Bearer)[-_ ][^\s"']+/gi;

/**
 * The provider's reason for a refusal, to be put behind a message: short, and
 * without keys. Of a refusal that is about our credentials, nothing is told.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { refusalReason } from "./provider.ts";
 *
 * const answer = '{"error":{"message":"No model m1"}}';
 * assertEquals(refusalReason(400, answer, "sk-1"), ": No model m1");
 * assertEquals(refusalReason(401, answer, "sk-1"), ": the credentials of this project");
 * ```
 */
export function refusalReason(
  status: number,
  answer: string,
  apiKey: string,
): string {
  if (status === 401 || status === 403) {
    return ": the credentials of this project";
  }
  const error = ErrorAnswer.safeParse(parse(answer));
  if (!error.success) return "";
  const clean = error.data.error.message
    .replaceAll(apiKey || /$^/g, "[key]")
    .replace(KEY_LIKE, "[key]")
    .replace(/[\p{Cc}\s]+/gu, " ")
    .trim()
    // Who cut it may have cut a character in two, which Postgres cannot store.
    .toWellFormed();
  return `: ${Array.from(clean).slice(0, MAX_REASON_LENGTH).join("")}`;
}
