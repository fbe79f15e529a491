/**
 * The media type of a request's body, without parameters and in lower case;
 * empty when it declares none.
 */
export function mediaType(req: Request): string {
  const declared = req.headers.get("content-type") ?? "";
  return declared.split(";")[0]!.trim().toLowerCase();
}
