/** A file system with little room, in memory. */
export interface SmallDisk extends AsyncDisposable {
  /** The folder where it is mounted; anybody may write to it. */
  readonly folder: string;
  /** Takes all the room that is left. */
  fill(): Promise<void>;
  /** Gives back what {@link SmallDisk.fill} took. */
  free(): Promise<void>;
}

const CHUNK_BYTES = 65_536;

/** Why this machine cannot mount one, or `null`. */
export function missingSmallDisk(): string | null {
  const folder = Deno.makeTempDirSync({ prefix: "small-disk-" });
  try {
    mount(folder, 1);
    unmount(folder);
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    Deno.removeSync(folder);
  }
}

/**
 * Mounts a disk in memory, which takes root on Linux.
 *
 * @param megabytes All the room there is.
 */
export function mountSmallDisk(megabytes: number): SmallDisk {
  const folder = Deno.makeTempDirSync({ prefix: "small-disk-" });
  const ballast = `${folder}/ballast`;
  mount(folder, megabytes);
  return {
    folder,
    async fill() {
      using file = await Deno.open(ballast, { create: true, append: true });
      // The last bytes, too: a table grows by less than this.
      for (let size = CHUNK_BYTES; size >= 1;) {
        try {
          await file.write(new Uint8Array(size));
        } catch {
          size = Math.floor(size / 2);
        }
      }
    },
    async free() {
      await Deno.remove(ballast).catch(() => {});
    },
    async [Symbol.asyncDispose]() {
      unmount(folder);
      await Deno.remove(folder);
    },
  };
}

function mount(folder: string, megabytes: number): void {
  run("mount", [
    ...["-t", "tmpfs", "-o", `size=${megabytes}m,mode=1777`],
    ...["tmpfs", folder],
  ]);
}

function unmount(folder: string): void {
  run("umount", [folder]);
}

function run(program: string, args: string[]): void {
  const { success, stderr } = new Deno.Command(program, { args }).outputSync();
  if (success) return;
  const said = new TextDecoder().decode(stderr).trim();
  throw new Error(`${program} ${args.join(" ")}: ${said}`);
}
