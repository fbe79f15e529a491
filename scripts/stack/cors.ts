const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const USUAL_HEADERS =
  "authorization, apikey, content-type, x-client-info, prefer, range, accept-profile, content-profile, x-supabase-api-version";
const EXPOSED =
  "content-range, content-location, preference-applied, x-sb-error-code, x-total-count, link";

/** Answers a preflight for the Auth and Data APIs; any origin may call them. */
export function preflight(request: Request): Response {
  const asked = request.headers.get("access-control-request-headers");
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-methods": METHODS,
      "access-control-allow-headers": asked ?? USUAL_HEADERS,
      "access-control-max-age": "3600",
      vary: "access-control-request-headers",
    },
  });
}

/** Lets a page of another origin read an answer of the Auth or Data API. */
export function readable(original: Response): Response {
  const response = new Response(original.body, original);
  response.headers.set("access-control-allow-origin", "*");
  response.headers.set("access-control-expose-headers", EXPOSED);
  return response;
}
