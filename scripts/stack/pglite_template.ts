import { basename, join } from "node:path";
import { fileOf, type Migration } from "../migrate/migration.ts";
import { LOCAL_DIR } from "./settings.ts";

/** A file that embedded databases start from: quicker than making what it holds. */
export interface Template {
  /** What an earlier start left, if there was one. */
  read(): Promise<Blob | undefined>;
  /** Leaves it for the next start; a folder that cannot be written is no error. */
  keep(dump: () => Promise<Blob>): Promise<void>;
}

/** An empty cluster. */
export function emptyTemplate(): Promise<Template> {
  return templateOf(LOCAL_DIR, "empty", []);
}

/** A project whose migrations are these, of which all are applied. */
export async function projectTemplate(
  supabaseDir: string,
  migrations: readonly Migration[],
  folder: string = LOCAL_DIR,
): Promise<Template> {
  return await templateOf(
    folder,
    `project-${await digest([supabaseDir])}`,
    migrations.flatMap((migration) => [fileOf(migration), migration.sql]),
  );
}

/** One per name: what it is made of only decides whether it still holds. */
async function templateOf(
  folder: string,
  name: string,
  madeOf: readonly string[],
): Promise<Template> {
  const made = await digest([
    import.meta.resolve("@supabase/lite/pglite"),
    import.meta.resolve("@electric-sql/pglite"),
    ...madeOf,
  ]);
  const file = join(folder, `${name}-${made}.tar`);
  return {
    async read() {
      try {
        return new Blob([await Deno.readFile(file)]);
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return undefined;
        throw error;
      }
    },
    async keep(dump) {
      const part = `${file}.${crypto.randomUUID()}`;
      try {
        await Deno.mkdir(folder, { recursive: true });
        await Deno.writeFile(part, (await dump()).stream());
        // Readers see the whole file or none.
        await Deno.rename(part, file);
        await removeOutdated(folder, name, file);
      } catch {
        await Deno.remove(part).catch(() => {});
      }
    },
  };
}

async function removeOutdated(
  folder: string,
  name: string,
  file: string,
): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    const outdated = entry.name.startsWith(`${name}-`) &&
      entry.name.endsWith(".tar") && entry.name !== basename(file);
    if (outdated) await Deno.remove(join(folder, entry.name));
  }
}

async function digest(texts: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(texts));
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(hash).toHex().slice(0, 12);
}
