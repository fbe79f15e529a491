import { assert, assertEquals } from "@std/assert";
import { codeBlocks, pages } from "../support/documented.ts";
import { type Dev, startDev } from "../support/dev.ts";

// What the reader types is run as it stands; this tells what came of each line.
const PREAMBLE = `
set -eo pipefail
curl() { command curl --silent --show-error --write-out '%{stderr}%{http_code} %{url_effective}\\n' "$@"; }
`;

let dev: Dev;
let signUp: string;

Deno.test.beforeAll(async () => {
  dev = await startDev(["--port", "0", "--memory"]);
  const blocks = await codeBlocks("examples.md", "sh");
  signUp = blocks.find((code) => code.includes("TOKEN="))!;
});
Deno.test.afterAll(async () => void await dev.stop("SIGTERM"));

for (const page of await pages()) {
  // Its function is the reader's: tests/docs/snippets.test.ts.
  if (page === "../README.md") continue;
  const blocks = (await codeBlocks(page, "sh"))
    // Other command lines have tests of their own.
    .filter((code) => !/^(aws|deno|npx|supabase) /m.test(code));
  if (!blocks.some((code) => code.includes("curl "))) continue;

  Deno.test(`each curl of ${page} is answered as it stands there`, async () => {
    const signsUp = blocks.some((code) => code.includes("/auth/v1/signup"));
    const script = [PREAMBLE, ...(signsUp ? [] : [signUp]), ...blocks]
      .join("\n")
      // Somebody else for each page: none depends on what another one did.
      .replaceAll("ada@", `ada-${crypto.randomUUID()}@`);
    const { code, stderr } = await new Deno.Command("bash", {
      args: ["-c", script],
      cwd: new URL("../../", import.meta.url),
      env: Object.fromEntries(dev.settings()),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    const answers = new TextDecoder().decode(stderr).trim().split("\n");
    assertEquals(code, 0, answers.join("\n"));
    const statuses = answers.map((line) => Number(line.split(" ", 1)[0]));
    assert(
      // 409 and 422 may be what the page is about; what is not there is not.
      statuses.every((status) => status >= 200 && status < 500) &&
        !statuses.includes(404),
      answers.join("\n"),
    );
    assert(statuses.length > 1, answers.join("\n"));
  });
}
