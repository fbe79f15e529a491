import configuration from "../../deno.json" with { type: "json" };

const { imports } = configuration;

/** A function to start from, as a project writes it after the adoption. */
export const EXAMPLE = `import { pipeline } from "${
  imports["@supabase/middleware"]
}";
import { withSupabase } from "${imports["@supabase/server"]}";
import { corsHeaders, withIdempotency } from "../_shared/idempotency.ts";

export default {
  fetch: pipeline(
    [
      withSupabase({ auth: "user", cors: { headers: corsHeaders } }),
      withIdempotency({ scope: "hello" }),
    ],
    async (request) => Response.json({ hello: await request.text() }),
  ),
};
`;

/** What is left to do, for a person to read. */
export const NEXT_STEPS = `Next, in the project:
  1. supabase db push
  2. protect a function, for instance supabase/functions/hello/index.ts:

${EXAMPLE.replaceAll(/^(?=.)/gm, "       ")}
  3. supabase functions deploy hello`;
