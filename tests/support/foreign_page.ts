import type { Stack } from "../../scripts/stack/stack.ts";

/** A shop on an origin of its own, whose pages load the client. */
export interface Shop extends AsyncDisposable {
  readonly url: string;
}

/** Serves an empty page, and the client beside it. */
export function openShop({ apiUrl }: Stack): Shop {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      new URL(request.url).pathname === "/client.js"
        ? fetch(`${apiUrl}/client.js`)
        : new Response(
          '<!DOCTYPE html><html lang="en"><link rel="icon" href="data:,"><title>Shop</title>',
          { headers: { "Content-Type": "text/html" } },
        ),
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** What a page learns of the answer to a request. */
export interface Learned {
  readonly status: number;
  readonly jobId: string;
  readonly replay: string | null;
  readonly stored: string | null;
  readonly sentKey: string | undefined;
  /** When its page had sent all, by the clock of all tabs, in ms. */
  readonly sentAt: number;
  /** When its page had the first answer, by the same clock. */
  readonly answeredAt: number;
}

/** What {@link processInPage} needs; only what can be passed to a page. */
export interface PageRequest {
  readonly functionsUrl: string;
  readonly headers: Record<string, string>;
  readonly documentId: string;
  /** How often to send it, at once. */
  readonly times: number;
  readonly key?: string;
}

/**
 * Asks for a document to be processed as supabase-js would, through a client
 * made anew. Runs in the page: whatever it uses has to be in here.
 */
export async function processInPage(
  { functionsUrl, headers, documentId, times, key }: PageRequest,
): Promise<Learned[]> {
  const client: typeof import("../../shared/client.ts") = await import(
    `${location.origin}/client.js`
  );
  const now = () => performance.timeOrigin + performance.now();
  let sentAt = 0;
  let answeredAt = Infinity;
  const idempotentFetch = client.createIdempotentFetch({
    onAttempt({ type, count, status }) {
      if (type === "sent" && count === 1) sentAt = now();
      if (status === 200) answeredAt = Math.min(answeredAt, now());
    },
  });
  const ask = async () => {
    const response = await idempotentFetch(`${functionsUrl}/process-document`, {
      method: "POST",
      headers: {
        ...headers,
        "Content-Type": "application/json",
        "X-Client-Info": "supabase-js-web/2",
        ...(key === undefined ? {} : { "Idempotency-Key": key }),
      },
      body: JSON.stringify({ documentId }),
    });
    return {
      status: response.status,
      jobId: (await response.json()).jobId,
      replay: response.headers.get("x-idempotency-replay"),
      stored: response.headers.get("x-idempotency-stored"),
      sentKey: client.idempotencyKeyOf(response),
    };
  };
  const learned = await Promise.all(Array.from({ length: times }, ask));
  return learned.map((each) => ({ ...each, sentAt, answeredAt }));
}
