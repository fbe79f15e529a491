const CHANGES = ["POST", "PUT", "PATCH", "DELETE"];

/** Whether a request asks an edge function for a change. */
export function isFunctionChange({ method, url }: Request): boolean {
  return CHANGES.includes(method) &&
    new URL(url).pathname.startsWith("/functions/v1/");
}
