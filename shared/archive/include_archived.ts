import { z } from "zod";
import { readQuery } from "../../functions/_kit/read_request.ts";

const Query = z.object({
  include_archived: z.enum(["true", "false"]).default("false"),
});

/**
 * Whether a request asks for archived rows too: `?include_archived=true`.
 *
 * @throws {Refusal} 400 when the parameter is neither `true` nor `false`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { includeArchived } from "./include_archived.ts";
 *
 * const url = "http://x/quotations?include_archived=true";
 * assertEquals(includeArchived(new Request(url)), true);
 * assertEquals(includeArchived(new Request("http://x/quotations")), false);
 * ```
 */
export function includeArchived(req: Request): boolean {
  return readQuery(req, Query).include_archived === "true";
}
