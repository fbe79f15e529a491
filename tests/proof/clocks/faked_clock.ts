import { join } from "node:path";

// Debian's, where its multiarch folders put it; other machines have one of these.
const FOLDERS = [
  `/usr/lib/${Deno.build.arch}-linux-gnu/faketime`,
  "/usr/lib/faketime",
  "/usr/lib64/faketime",
  "/usr/local/lib/faketime",
];

/** The wall clock of other processes, which this one sets. */
export interface FakedClock extends Disposable {
  /** Gives a process that is started with these variables this clock. */
  readonly env: Record<string, string>;
  /** Lets it go wrong by so many seconds from now on; 0 puts it right. */
  set(seconds: number): void;
}

/** What is missing for a {@link FakedClock}, and how to get it; else `null`. */
export function missingFaketime(): string | null {
  return library() === undefined
    ? "no libfaketime: apt-get install faketime"
    : null;
}

/** Makes one that is right. */
export function fakedClock(): FakedClock {
  const folder = Deno.makeTempDirSync({ prefix: "clock-" });
  // The server runs as another user.
  Deno.chmodSync(folder, 0o755);
  const file = join(folder, "offset");
  const set = (seconds: number) => {
    // In one step: a process may look at any moment.
    const next = join(folder, "next");
    Deno.writeTextFileSync(next, `${seconds < 0 ? "" : "+"}${seconds}\n`);
    Deno.chmodSync(next, 0o644);
    Deno.renameSync(next, file);
  };
  set(0);
  return {
    env: {
      LD_PRELOAD: library()!,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      // As with a clock that is set: what measures how long it takes goes on.
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
    set,
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

function library(): string | undefined {
  return FOLDERS.map((folder) => join(folder, "libfaketime.so.1"))
    .find((path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    });
}
