import { withSupabase } from "@supabase/server";
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";
import { requireMethod } from "../_kit/read_request.ts";
import { refuse } from "../_kit/refuse.ts";
import { StoreError } from "../_kit/store_error.ts";
import { cleanUp, type Keeper } from "./clean_up.ts";

// The gateway gives up on a request after 150 s, and the last call may take 8.
const MAX_SECONDS = 100;

// For whoever holds the secret key: a scheduler. It needs no key of its own,
// since what is deleted twice was deleted once, and two at once skip what the
// other one has.
export default {
  fetch: withSupabase<Database>(
    { auth: "secret", cors: "disabled" },
    async (req, { supabaseAdmin }) => {
      try {
        requireMethod(req, "POST");
        const keeper = keeperOf(supabaseAdmin);
        return Response.json(await cleanUp(keeper, { seconds: MAX_SECONDS }));
      } catch (error) {
        return refuse(error, {}, req);
      }
    },
  ),
};

function keeperOf(supabase: SupabaseClient<Database>): Keeper {
  return {
    async call(name, parameters = {}) {
      const { data, error } = await supabase.rpc(name, parameters);
      if (error) throw new StoreError(`Cannot call ${name}`, error);
      return Array.isArray(data) ? data : [{ [name]: data }];
    },
  };
}
