import { assert, assertEquals } from "@std/assert";
import { withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openWithSample } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("a page reloaded in the middle of a request finds its attempt, and the answer", async () => {
  await using visitor = await visit();
  const tried = await openWithSample(visitor, stack());
  await tried.turn("Slow answers (3 s)", true);
  await tried.press();
  const key = await tried.saw("Sent");
  await tried.page.reload();
  await tried.saw("Loaded again with an attempt open");
  assertEquals(await tried.saw("Answered 200"), key);
  await tried.page.locator("#job-list li").waitFor();
  assertEquals(await tried.number("jobs"), 1);
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("a page that was answered does not send again when it is reloaded", async () => {
  await using visitor = await visit();
  const tried = await openWithSample(visitor, stack());
  await tried.press();
  await tried.saw("Answered 200, first run");
  await tried.page.reload();
  await tried.page.locator("#job-list li").waitFor();
  assertEquals(await tried.number("requests"), 1);
});

Deno.test("going offline and back makes one job", async () => {
  await using visitor = await visit();
  const tried = await openWithSample(visitor, stack());
  await visitor.context.setOffline(true);
  await tried.press();
  await tried.saw("Offline: waits for the network");
  await tried.press();
  assertEquals(await countJobs(tried, stack()), 0);
  await visitor.context.setOffline(false);
  await tried.saw("Answered 200, first run");
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("going offline while the answer is on its way makes one job", async () => {
  await using visitor = await visit();
  const tried = await openWithSample(visitor, stack());
  await tried.page.route("**/functions/v1/process-document", async (route) => {
    await route.fetch();
    await visitor.context.setOffline(true);
    await route.abort("internetdisconnected");
  }, { times: 1 });
  await tried.press();
  await tried.saw("Offline: waits for the network");
  assertEquals(await countJobs(tried, stack()), 1);
  await visitor.context.setOffline(false);
  await tried.saw("Answered 200, replayed");
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("a network that was cut goes on with the same key once it is mended", async () => {
  await using visitor = await visit();
  const tried = await openWithSample(visitor, stack());
  await tried.turn("Cut the network", true);
  await tried.press();
  const key = await tried.saw("No answer: the network is cut");
  assertEquals(await countJobs(tried, stack()), 0);
  await tried.turn("Cut the network", false);
  assertEquals(await tried.saw("Answered 200, first run"), key);
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("however many answers are lost, there is one job, and the next answer tells of it", async () => {
  await using visitor = await visit();
  const tried = await openWithSample(visitor, stack());
  await tried.turn("Lose answers", true);
  await tried.press();
  const key = await tried.saw("No answer: lost on its way");
  await tried.page.locator("#job-list li").waitFor();
  await tried.saw(/try\s3/);
  await tried.turn("Lose answers", false);
  assertEquals(await tried.saw("Answered 200, replayed"), key);
  assert(await tried.number("requests") >= 3);
  assertEquals(await tried.number("jobs"), 1);
  assertEquals(await countJobs(tried, stack()), 1);
});
