import type { Stack } from "../stack/stack.ts";

/** One request of the demo, and what came of it. */
export interface Asked {
  request: string;
  status: number;
  /** The problem's code, when the request was refused. */
  code: string | undefined;
  replayed: boolean;
  jobId: string | undefined;
  body: string;
  /** From sending the request to having read its answer. */
  ms: number;
}

/** Makes the function that calls process-document as a signed-in user. */
export function createAsk(stack: Stack, accessToken: string) {
  return async (
    request: string,
    key: string,
    body: unknown,
  ): Promise<Asked> => {
    const startedAt = performance.now();
    const response = await fetch(
      `${stack.apiUrl}/functions/v1/process-document`,
      {
        method: "POST",
        headers: {
          apikey: stack.publishableKey,
          Authorization: `Bearer ${accessToken}`,
          "Content-Type": "application/json",
          "Idempotency-Key": key,
        },
        body: JSON.stringify(body),
      },
    );
    const text = await response.text();
    const { jobId, code } = JSON.parse(text);
    return {
      request,
      status: response.status,
      code,
      replayed: response.headers.get("x-idempotency-replay") === "true",
      jobId,
      body: text,
      ms: performance.now() - startedAt,
    };
  };
}

/** Requests at once that went alike, as one: `times` says how many. */
export function alike(calls: Asked[]): (Asked & { times: number })[] {
  const groups = Object.groupBy(
    calls,
    ({ status, code, replayed, jobId }) =>
      JSON.stringify([status, code, replayed, jobId]),
  );
  return Object.values(groups).map((group) => {
    const slowest = Math.max(...group!.map(({ ms }) => ms));
    return { ...group![0]!, times: group!.length, ms: slowest };
  });
}
