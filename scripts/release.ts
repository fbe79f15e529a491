/**
 * Freezes the SQL of a release: `deno task release 1.0.0`. From then on the
 * check `releases` refuses an edit of it.
 *
 * `--again` freezes it anew, for as long as there is no tag of it.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Releases } from "./check/releases.ts";

function fail(message: string): never {
  console.error(`release: ${message}`);
  Deno.exit(1);
}

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: { again: { type: "boolean", default: false } },
});
const releases = new Releases();
const version = await releases.version();
if (positionals.length !== 1 || positionals[0] !== version) {
  fail(
    `deno.json has version ${version}. Usage: deno task release ${version} [--again]`,
  );
}
if ((await releases.released()).includes(version)) {
  if (!values.again) {
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
