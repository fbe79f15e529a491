// Pinned inline, and only here: a copy of this folder at
// supabase/functions/_shared/ then needs no import map and no edit.
export { corsHeaders as supabaseCorsHeaders } from "npm:@supabase/supabase-js@2.119.1/cors";
export {
  defineMiddleware,
  getEnv,
  type Middleware,
} from "npm:@supabase/middleware@0.6.0";
export { sha256 } from "npm:@noble/hashes@2.4.0/sha2.js";
export { bytesToHex } from "npm:@noble/hashes@2.4.0/utils.js";
export { default as canonicalize } from "npm:canonicalize@5.1.0";
export { default as pLimit } from "npm:p-limit@7.3.3";
export { default as pRetry } from "npm:p-retry@9.0.0";
export { parseItem } from "npm:structured-headers@2.1.0";
