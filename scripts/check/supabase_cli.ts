import { ROOT } from "./check.ts";
import { type CommandResult, printed, runCommand, runDeno } from "./command.ts";

const VERSION = "3.1.0";

const PLATFORMS: Record<string, string> = {
  "aarch64-apple-darwin": "darwin-arm64",
  "x86_64-apple-darwin": "darwin-x64",
  "aarch64-unknown-linux-gnu": "linux-arm64",
  "x86_64-unknown-linux-gnu": "linux-x64",
  "aarch64-pc-windows-msvc": "windows-arm64",
  "x86_64-pc-windows-msvc": "windows-x64",
};

/**
 * Path of the Supabase CLI's program, installed on first use.
 *
 * The package `supabase` only starts the program of one of eight platform
 * packages. The one for this platform is installed by itself: that needs Deno
 * alone, and no install script.
 */
async function installSupabaseCli(): Promise<string> {
  const platform = PLATFORMS[Deno.build.target];
  if (platform === undefined) {
    throw new Error(
      `find the Supabase CLI: no build for the platform ${Deno.build.target}`,
    );
  }
  const name = `@supabase/cli-${platform}`;
  const folder = new URL(`.local/supabase-cli-${VERSION}/`, ROOT);
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  const program = new URL(
    `node_modules/${name}/bin/supabase${suffix}`,
    folder,
  );
  try {
    await Deno.stat(program);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await Deno.mkdir(folder, { recursive: true });
    const manifest = { dependencies: { [name]: VERSION } };
    await Deno.writeTextFile(
      new URL("package.json", folder),
      JSON.stringify(manifest),
    );
    // A configuration of its own: without it Deno would take the folder for a
    // part of the repository's workspace.
    await Deno.writeTextFile(new URL("deno.json", folder), "{}");
    const install = await runDeno(
      ["install", "--quiet", "--node-modules-dir=auto", "--no-lock"],
      { cwd: folder },
    );
    if (install.code !== 0) {
      throw new Error(`install ${name}@${VERSION}: ${printed(install)}`);
    }
  }
  return decodeURIComponent(program.pathname);
}

/** How to call the Supabase CLI. */
export interface SupabaseCliOptions {
  /** Folder that contains `supabase/`. @default the repository's root */
  readonly workdir?: string;
  /** Variables added to the environment. */
  readonly env?: Record<string, string>;
}

/**
 * Runs the Supabase CLI with nothing of the user's: no telemetry, no look-up
 * of newer versions, no key ring, and a home folder that is removed at the
 * end.
 */
export async function runSupabase(
  args: readonly string[],
  options: SupabaseCliOptions = {},
): Promise<CommandResult> {
  const program = await installSupabaseCli();
  const home = await Deno.makeTempDir({ prefix: "supabase-cli-" });
  try {
    return await runCommand(program, [
      ...args,
      "--agent",
      "no",
      "--yes",
      "--workdir",
      options.workdir ?? decodeURIComponent(ROOT.pathname),
    ], {
      env: {
        HOME: home,
        SUPABASE_HOME: home,
        SUPABASE_TELEMETRY_DISABLED: "1",
        DO_NOT_TRACK: "1",
        SUPABASE_NO_UPDATE_NOTIFIER: "1",
        SUPABASE_NO_KEYRING: "1",
        // The throw-away clusters have no certificate; without this the CLI
        // warns about it on each connection.
        PGSSLMODE: "disable",
        // It is a program of Bun's that runs for half a second: too short for
        // what its compiler optimises to pay.
        BUN_JSC_useDFGJIT: "0",
        ...options.env,
      },
    });
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}
