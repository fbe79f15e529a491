/** A problem document (RFC 9457) in the gateway's own name, readable from any origin. */
export function problem(
  status: number,
  code: string,
  title: string,
  detail: string,
): Response {
  return new Response(
    JSON.stringify({ type: "about:blank", title, status, detail, code }),
    {
      status,
      headers: {
        "content-type": "application/problem+json",
        "access-control-allow-origin": "*",
      },
    },
  );
}

/** One line on stderr about something that went wrong while serving. */
export function logFailure(where: string, error: unknown): void {
  const text = error instanceof Error
    ? `${error.name}: ${error.message}`
    : String(error);
  const line = `${where}: ${text.replaceAll(/\s+/g, " ")}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(line));
}
