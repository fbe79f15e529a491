/**
 * Freezes the SQL of a release: `deno task release 1.0.0`. From then on the
 * check `releases` refuses an edit of it.
 *
 * `--again` freezes it anew, for as long as there is no tag of it.
 *
 * @module
 */
import { Releases } from "./check/releases.ts";
import { readTask, taskWords, wrongUsage } from "./task.ts";

const USAGE = `Usage: deno task release VERSION [--again]

Freezes the SQL of a release: from then on the check \`releases\` refuses an edit.

  VERSION              that of deno.json
  --again              freeze it anew, for as long as there is no tag of it`;

function fail(message: string): never {
  console.error(`release: ${message}`);
  Deno.exit(1);
}

const releases = new Releases();
const version = await releases.version();
const { again } = readTask("release", () => {
  const { values, words } = taskWords(USAGE, {
    again: { type: "boolean", default: false },
  });
  if (words.join(" ") === version) return values;
  throw wrongUsage(`deno.json has version ${version}`, USAGE);
});
if ((await releases.released()).includes(version)) {
  if (!again) {
    fail(`${version} is frozen already; --again does it anew, before its tag`);
  }
  if ((await releases.tagged()).has(`${version}.sql`)) {
    fail(`${version} has a tag: projects have it, and it stays as it is`);
  }
}
const unmarked = await releases.unmarked(version);
if (unmarked.length > 0) fail(unmarked.join("\n"));
for (const name of await releases.freeze()) {
  console.log(`wrote supabase/releases/${name}`);
}
console.log(`
Next: deno task ok, commit, then
  git tag v${version} && git push origin v${version}`);
