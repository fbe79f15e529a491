import { z } from "zod";

/** A training provider, as far as a job needs it. */
export interface TrainingProvider {
  /** Uploads JSON Lines to train on. The same key uploads at most once. */
  uploadFile(
    file: { name: string; content: string },
    idempotencyKey: string,
  ): Promise<{ fileId: string }>;
  /** Starts a job. The same key starts at most one. */
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
}

// A file of 16 MiB at 4 Mbit/s takes 34 s. Two calls stay below the 150 s after
// which the gateway gives up on the request.
const DEFAULT_TIMEOUT_MS = 45_000;

const Created = z.object({ id: z.string().min(1).max(200) });

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

  async function post(
    attempt: string,
    path: string,
    body: FormData | string,
    idempotencyKey: string,
  ): Promise<string> {
    const headers = new Headers({
      "Authorization": `Bearer ${apiKey}`,
      "Idempotency-Key": idempotencyKey,
    });
    // The content type of a form carries its boundary; fetch sets it.
    if (typeof body === "string") {
      headers.set("Content-Type", "application/json");
    }
    let status: number;
    let answer: string;
    try {
      const response = await fetch(baseUrl + path, {
        method: "POST",
        headers,
        body,
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
    if (isMomentary(status)) {
      throw new ProviderError(
        "PROVIDER_UNAVAILABLE",
        `${attempt}: the provider answered ${status}; send the same request again`,
      );
    }
    if (status >= 300) {
      throw new ProviderError(
        "PROVIDER_REFUSED",
        `${attempt}: the provider answered ${status}${
          refusalReason(status, answer, apiKey)
        }`,
      );
    }
    const created = Created.safeParse(parse(answer));
    if (created.success) return created.data.id;
    throw new ProviderError(
      "PROVIDER_UNAVAILABLE",
      `${attempt}: the provider answered ${status} without an id; send the same request again`,
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
        fileId: await post(
          "Cannot upload the data set",
          "/files",
          form,
          idempotencyKey,
        ),
      };
    },
    async createJob({ model, fileId }, idempotencyKey) {
      return {
        providerJobId: await post(
          "Cannot start the training job",
          "/fine_tuning/jobs",
          JSON.stringify({ model, training_file: fileId }),
          idempotencyKey,
        ),
      };
    },
  };
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
export type ProviderErrorCode = "PROVIDER_REFUSED" | "PROVIDER_UNAVAILABLE";

/**
 * The training provider did not do what it was asked. `PROVIDER_REFUSED`: it
 * will not, whenever asked again. `PROVIDER_UNAVAILABLE`: it may have, or may
 * yet.
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
  let message: string;
  try {
    message = ErrorAnswer.parse(JSON.parse(answer)).error.message;
  } catch {
    return "";
  }
  const clean = message
    .replaceAll(apiKey || /$^/g, "[key]")
    .replace(KEY_LIKE, "[key]")
    .replace(/[\p{Cc}\s]+/gu, " ")
    .trim();
  return `: ${Array.from(clean).slice(0, MAX_REASON_LENGTH).join("")}`;
}
