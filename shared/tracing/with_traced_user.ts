import { defineMiddleware, type Middleware } from "@supabase/middleware";
import { hashUserId } from "./hash_user_id.ts";
import { currentScope } from "./scope.ts";

/** What `withSupabase` put there, as far as this entry uses it. */
interface Upstream {
  /** The verified token's identity; `null` when there was no token. */
  userClaims: { id: string } | null;
}

/**
 * Tells in the lines of a request whose it is, from here on: `user`, hashed as
 * `hashUserId` does it. An entry for `pipeline`, behind `withSupabase`, which
 * verified the token.
 */
export const withTracedUser: Middleware<
  "tracedUser",
  undefined,
  Upstream,
  string | null
> = defineMiddleware<"tracedUser", undefined, Upstream, string | null>({
  key: "tracedUser",
  run: () => (_req, { userClaims }) => {
    const tracedUser = userClaims && hashUserId(userClaims.id);
    const scope = currentScope();
    if (scope !== undefined) scope.who.user = tracedUser;
    return Promise.resolve({ tracedUser });
  },
});
