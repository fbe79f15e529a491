// Where Debian, Ubuntu and macOS put it. The shell draws no window that nobody
// sees, which halves what the tests of the pages take.
const PLACES = [
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** The browser that tests run in: named in `CHROMIUM`, or found; `null` for none. */
export function findChromium(): string | null {
  const named = Deno.env.get("CHROMIUM");
  const places = named ? [named] : PLACES;
  return places.find((place) => {
    try {
      return Deno.statSync(place).isFile;
    } catch {
      return false;
    }
  }) ?? null;
}

/** How to get a browser, in one line; `null` when there is one. */
export function missingChromium(): string | null {
  return findChromium() === null
    ? "no Chromium found: apt-get install chromium-headless-shell, or name its program in CHROMIUM"
    : null;
}
