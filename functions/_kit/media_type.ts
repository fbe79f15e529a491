/**
 * The media type of a message's body, without parameters and in lower case;
 * empty when it declares none.
 */
export function mediaType(message: Pick<Request, "headers">): string {
  const declared = message.headers.get("content-type") ?? "";
  return declared.split(";")[0]!.trim().toLowerCase();
}
