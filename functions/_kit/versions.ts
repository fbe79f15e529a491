import { Refusal } from "./refuse.ts";

// A proxy that compresses an answer makes its tag a weak one. The version that
// the tag names is the same, whatever the bytes.
const TAG = /^(?:W\/)?"(\d{1,9})"$/;

/**
 * The versions that `If-Match` names (RFC 9110, section 13.1.1), where tags are
 * made by {@link versionTag}; `null` where it is absent or `*`.
 *
 * @throws {Refusal} 400 when it is malformed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { ifMatch } from "./versions.ts";
 *
 * const req = new Request("http://x", { headers: { "If-Match": '"3"' } });
 * assertEquals(ifMatch(req), [3]);
 * ```
 */
export function ifMatch(req: Request): number[] | null {
  const header = req.headers.get("if-match")?.trim();
  if (header === undefined || header === "*") return null;
  return header.split(",").map((tag) => {
    const version = TAG.exec(tag.trim())?.[1];
    if (version !== undefined) return Number(version);
    throw new Refusal({
      status: 400,
      code: "IF_MATCH_INVALID",
      title: "Invalid If-Match",
      detail:
        `If-Match is ${header}: send the ETag as you got it, for instance "3"`,
    });
  });
}

/** The `ETag` of a version. */
export function versionTag(version: number): string {
  return `"${version}"`;
}
