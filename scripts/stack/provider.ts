import { z } from "zod";

/** How often the emulated provider was called, and what it holds. */
export interface ProviderCalls {
  /** Files uploaded. */
  files: number;
  /** Distinct fine-tuning jobs created. */
  jobs: number;
  /** Accepted requests to create a job; more than `jobs` where it deduplicated. */
  requests: number;
}

/** An emulation of the OpenAI-compatible fine-tuning endpoints. */
export interface Provider {
  apiKey: string;
  calls(): ProviderCalls;
  /** Answers a request below the emulation's own root, such as `/v1/files`. */
  fetch(path: string, request: Request): Promise<Response>;
}

interface Job {
  object: "fine_tuning.job";
  id: string;
  model: string;
  training_file: string;
  created_at: number;
  status: "queued";
}

const JobRequest = z.object({
  model: z.string().min(1),
  training_file: z.string().min(1),
});

/** Starts an empty provider with a key of its own. */
export function createProvider(): Provider {
  const apiKey = `sk-local-${crypto.randomUUID()}`;
  const jobs = new Map<string, Job>();
  const jobOfKey = new Map<string, { job: Job; body: string }>();
  let files = 0;
  let requests = 0;

  const createJob = async (request: Request): Promise<Response> => {
    const body = await request.text();
    const wanted = JobRequest.safeParse(parseJson(body));
    if (!wanted.success) return failure(400, z.prettifyError(wanted.error));
    const key = request.headers.get("idempotency-key");
    const earlier = key === null ? undefined : jobOfKey.get(key);
    if (earlier && earlier.body !== body) {
      return failure(400, `Idempotency-Key ${key} was used with another body.`);
    }
    requests += 1;
    if (earlier) return Response.json(earlier.job);
    const job: Job = {
      object: "fine_tuning.job",
      id: `ftjob-${crypto.randomUUID()}`,
      ...wanted.data,
      created_at: Math.floor(Date.now() / 1000),
      status: "queued",
    };
    jobs.set(job.id, job);
    if (key !== null) jobOfKey.set(key, { job, body });
    return Response.json(job);
  };

  const listJobs = () =>
    Response.json({
      object: "list",
      data: [...jobs.values()].reverse(),
      has_more: false,
    });

  const createFile = async (request: Request): Promise<Response> => {
    const form = await request.formData().catch(() => null);
    const file = form?.get("file");
    if (!(file instanceof File)) {
      return failure(
        400,
        "Expected a multipart upload with a part named file.",
      );
    }
    files += 1;
    return Response.json({
      object: "file",
      id: `file-${crypto.randomUUID()}`,
      bytes: file.size,
      filename: file.name,
      purpose: form?.get("purpose") ?? "fine-tune",
      created_at: Math.floor(Date.now() / 1000),
    });
  };

  const calls = () => ({ files, jobs: jobs.size, requests });

  return {
    apiKey,
    calls,
    fetch: async (path, request) => {
      const route = `${request.method} ${path}`;
      if (route === "GET /calls") return Response.json(calls());
      if (request.headers.get("authorization") !== `Bearer ${apiKey}`) {
        await request.body?.cancel();
        return failure(401, "Incorrect API key provided.");
      }
      if (route === "POST /v1/fine_tuning/jobs") return createJob(request);
      if (route === "GET /v1/fine_tuning/jobs") return listJobs();
      if (route === "POST /v1/files") return createFile(request);
      const id = /^GET \/v1\/fine_tuning\/jobs\/([^/]+)$/.exec(route)?.[1];
      const job = id === undefined ? undefined : jobs.get(id);
      return job ? Response.json(job) : failure(404, `No ${route}.`);
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failure(status: number, message: string): Response {
  const type = status === 401
    ? "authentication_error"
    : "invalid_request_error";
  return Response.json({ error: { message, type, code: null } }, { status });
}
