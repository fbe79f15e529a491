import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { printed, runDeno } from "../../scripts/check/command.ts";
import { runSupabase } from "../../scripts/check/supabase_cli.ts";

/** How a command of the command line ended. */
export interface CliResult {
  readonly code: number;
  /** All that it printed. */
  readonly text: string;
}

/** Runs the command line of this checkout, or of the one at `root`. */
export async function cli(
  args: readonly string[],
  { root = ".", env = {} }: {
    root?: string;
    env?: Record<string, string>;
  } = {},
): Promise<CliResult> {
  const result = await runDeno([
    "run",
    "-A",
    "--no-check",
    join(root, "scripts/cli.ts"),
    ...args,
  ], {
    env: {
      SUPABASE_URL: "",
      SUPABASE_SECRET_KEY: "",
      DATABASE_URL: "",
      ...env,
    },
  });
  return { code: result.code, text: printed(result) };
}

const QUESTION = "[y/N]";

/**
 * Runs a command of Deno's at a terminal of its own.
 *
 * @param typed What somebody types there; control characters end a question.
 */
export async function atTerminal(
  args: readonly string[],
  typed: string,
  env: Record<string, string> = {},
): Promise<CliResult> {
  const command = [Deno.execPath(), ...args].join(" ");
  const terminal = new Deno.Command("script", {
    args: ["--quiet", "--return", "--command", command, "/dev/null"],
    env,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = terminal.stdin.getWriter();
  let text = "";
  // What is typed before somebody asks goes to the terminal itself.
  for await (
    const part of terminal.stdout.pipeThrough(new TextDecoderStream())
  ) {
    const wasAsked = text.includes(QUESTION);
    text += part;
    if (!wasAsked && text.includes(QUESTION)) {
      await writer.write(new TextEncoder().encode(typed));
    }
  }
  await writer.close().catch(() => {});
  return { code: (await terminal.status).code, text };
}

/** A Supabase project on disk, as `supabase init` makes it. */
export interface ProjectOnDisk extends AsyncDisposable {
  readonly path: string;
  /** Runs a command of the command line on it, which has to end well. */
  cli(...args: string[]): Promise<string>;
  /** Runs `supabase db push`, which has to end well. */
  push(url: string): Promise<void>;
  /** Writes a migration of the user's own, stamped this far from now. */
  migration(name: string, sql: string, seconds?: number): Promise<string>;
  /** Names of its migrations. */
  migrations(): string[];
  read(path: string): Promise<string>;
  write(path: string, text: string): Promise<void>;
}

/** Makes one. */
export async function newProject(): Promise<ProjectOnDisk> {
  const path = await Deno.makeTempDir({ prefix: "cli-" });
  const made = await runSupabase(["init"], { workdir: path });
  assertEquals(made.code, 0, printed(made));
  const write = async (file: string, text: string) => {
    await Deno.mkdir(join(path, file, ".."), { recursive: true });
    await Deno.writeTextFile(join(path, file), text);
  };
  return {
    path,
    async cli(command, ...args) {
      const { code, text } = await cli([
        command!,
        "--project",
        path,
        ...args,
      ]);
      assertEquals(code, 0, text);
      return text;
    },
    async push(url) {
      const result = await runSupabase(["db", "push", `--remote=${url}`], {
        workdir: path,
      });
      assertEquals(result.code, 0, printed(result));
    },
    async migration(name, sql, seconds = 0) {
      const file = `${stamp(seconds)}_${name}.sql`;
      await write(`supabase/migrations/${file}`, sql);
      return file;
    },
    migrations: () =>
      [...Deno.readDirSync(join(path, "supabase/migrations"))]
        .map(({ name }) => name).sort(),
    read: (file) => Deno.readTextFile(join(path, file)),
    write,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** A migration's version, so many seconds from now. */
export function stamp(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toISOString()
    .replaceAll(/\D/g, "").slice(0, 14);
}

/** The database of a test, which forgets on purpose, to sessions in which it does not. */
export function durable(url: string): string {
  return `${url}?synchronous_commit=on`;
}
