import { AuthError } from "@supabase/server";
import { HTTPException } from "hono/http-exception";
import { refuse } from "../_kit/refuse.ts";

/**
 * The answer to an error of any route. What fails the authentication is told as
 * the other functions tell it; Supabase's adapter for Hono throws it.
 */
export function refuseError(error: Error, req: Request): Response {
  if (error instanceof HTTPException && error.cause instanceof AuthError) {
    const { status, code } = error.cause;
    return Response.json(error.cause, {
      status,
      headers: { "x-supabase-server-error": code },
    });
  }
  return refuse(error, {}, req);
}
