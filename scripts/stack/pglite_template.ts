import { join } from "node:path";
import { LOCAL_DIR } from "./settings.ts";

// Initialising a cluster takes PGlite seconds, unpacking one a fraction of it.
// The file holds an empty cluster, made by the version named in it.
async function templateFile(): Promise<string> {
  const made = new TextEncoder().encode(
    import.meta.resolve("@supabase/lite/pglite"),
  );
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", made));
  return join(LOCAL_DIR, `empty-cluster-${digest.toHex().slice(0, 12)}.tar`);
}

/** An empty cluster kept by an earlier start, if there is one. */
export async function readTemplate(): Promise<Blob | undefined> {
  try {
    return new Blob([await Deno.readFile(await templateFile())]);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Keeps an empty cluster for the next start; a folder that cannot be written is no error. */
export async function keepTemplate(dump: () => Promise<Blob>): Promise<void> {
  const file = await templateFile();
  const part = `${file}.${crypto.randomUUID()}`;
  try {
    await Deno.mkdir(LOCAL_DIR, { recursive: true });
    await Deno.writeFile(part, (await dump()).stream());
    // Readers see the whole file or none.
    await Deno.rename(part, file);
  } catch {
    await Deno.remove(part).catch(() => {});
  }
}
