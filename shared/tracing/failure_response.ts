/**
 * The answer to a request whose handler threw: a problem document (RFC 9457)
 * with the trace id to ask about. What went wrong is in the log and nowhere else.
 */
export function failureResponse(req: Request, traceId: string): Response {
  const body = {
    type: "urn:problem-type:internal-error",
    title: "Internal error",
    status: 500,
    detail:
      `The function failed: send the same request again later, or report the trace id ${traceId}`,
    instance: new URL(req.url).pathname,
    code: "INTERNAL_ERROR",
    retryable: true,
    traceId,
  };
  return new Response(JSON.stringify(body), {
    status: body.status,
    headers: {
      "Content-Type": "application/problem+json",
      // The handler's own CORS headers are lost with its answer, and a page
      // that may not read this one cannot tell it from a broken network.
      "Access-Control-Allow-Origin": "*",
    },
  });
}
