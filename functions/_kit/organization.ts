import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { exposeArchived } from "../../shared/archive.ts";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders } from "../../shared/idempotency.ts";
import { Refusal } from "./refuse.ts";
import { StoreError } from "./store_error.ts";

/** The header that names the organisation for which a user acts. */
const ORGANIZATION_HEADER = "X-Organization-Id";

/** What a page may send to rows with versions that organisations own, and read. */
export const organizationCors = exposeArchived({
  ...corsHeaders,
  "Access-Control-Allow-Headers": `${
    corsHeaders["Access-Control-Allow-Headers"]
  }, if-match, ${ORGANIZATION_HEADER.toLowerCase()}`,
  "Access-Control-Expose-Headers": `${
    corsHeaders["Access-Control-Expose-Headers"]
  }, ETag`,
});

/**
 * The organisation that a request is for; `null`: its user acts for nobody else.
 *
 * It is what the client says: whether the user is a member is up to the database,
 * or to {@link requireMembership}.
 *
 * @throws {Refusal} 400 when it is not a UUID.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { organizationOf } from "./organization.ts";
 *
 * assertEquals(organizationOf(new Request("http://x/quotations")), null);
 * ```
 */
export function organizationOf(req: Request): string | null {
  const header = req.headers.get(ORGANIZATION_HEADER);
  if (header === null) return null;
  const parsed = z.guid().toLowerCase().safeParse(header.trim());
  if (parsed.success) return parsed.data;
  throw new Refusal({
    status: 400,
    code: "REQUEST_INVALID",
    title: "Invalid request",
    detail: `${ORGANIZATION_HEADER} is not as expected: send the UUID of one`,
  });
}

/**
 * A scope with the organisation in it: who switches from one to another gets no
 * answer of the other one's.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { scopeInOrganization } from "./organization.ts";
 *
 * const id = "0b6cbd0f-7a0c-4c5b-8df2-5a0c1f1f2b3c";
 * const headers = { "X-Organization-Id": id };
 * assertEquals(
 *   scopeInOrganization("quotations")(new Request("http://x", { headers })),
 *   `quotations/organization:${id}`,
 * );
 * ```
 */
export function scopeInOrganization(scope: string): (req: Request) => string {
  return (req) => {
    const organization = organizationOf(req);
    return organization === null
      ? scope
      : `${scope}/organization:${organization}`;
  };
}

/** What is asked whether the caller is a member. */
interface Caller {
  supabase: SupabaseClient<Database>;
  userClaims?: { id: string } | null | undefined;
}

/**
 * Whose key a request has on a route whose keys colleagues share: their
 * organisation's, so that the retry of one gets the answer of the other. It is
 * looked up who is a member, before the ledger is asked.
 *
 * @throws {Refusal} 404 for who is none.
 */
export async function organizationOrUser(
  req: Request,
  caller: Caller,
): Promise<string | null> {
  const organization = organizationOf(req);
  if (organization === null) return caller.userClaims?.id ?? null;
  await requireMembership(caller.supabase, organization);
  return `org:${organization}`;
}

/**
 * Makes sure that the caller is a member of an organisation.
 *
 * @throws {Refusal} 404 for who is none.
 * @throws {StoreError} When the database fails.
 */
export async function requireMembership(
  supabase: SupabaseClient<Database>,
  organization: string,
): Promise<void> {
  const { data, error } = await supabase.from("organizations").select("id")
    .eq("id", organization).maybeSingle();
  if (error) {
    throw new StoreError(`Cannot read organisation ${organization}`, error);
  }
  if (data !== null) return;
  // Which tells nobody whether there is one.
  throw new Refusal({
    status: 404,
    code: "ORGANIZATION_NOT_FOUND",
    title: "Organisation not found",
    detail:
      `You are no member of an organisation ${organization}: check ${ORGANIZATION_HEADER}`,
  });
}
