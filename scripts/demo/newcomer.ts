import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../shared/database.types.ts";

/** Signs up a user and returns their access token. */
export async function signUp(
  supabase: SupabaseClient<Database>,
): Promise<string> {
  const { data, error } = await supabase.auth.signUp({
    email: "ada@example.com",
    password: crypto.randomUUID(),
  });
  if (error) throw error;
  if (!data.session) throw new Error("Signed up, but not signed in");
  return data.session.access_token;
}

/** Inserts the document that ships with the demo and returns its id. */
export async function upload(
  supabase: SupabaseClient<Database>,
  title: string,
): Promise<string> {
  const content = await Deno.readTextFile(
    new URL("taking-effect-once.md", import.meta.url),
  );
  const { data, error } = await supabase.from("documents")
    .insert({ title, mime_type: "text/markdown", content })
    .select("id").single();
  if (error) throw error;
  return data.id;
}
