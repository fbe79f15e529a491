import { assert, assertEquals } from "@std/assert";
import { withBrowser } from "../support/browser.ts";
import { withStack } from "../support/stack.ts";
import { countJobs, openTryPage } from "../support/try_page.ts";

const stack = withStack();
const visit = withBrowser();

Deno.test("a page reloaded in the middle of a request finds its attempt, and the answer", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await tried.turn("Slow answers (3 s)", true);
  await tried.press();
  const key = await tried.saw("sent");
  await tried.page.reload();
  await tried.saw("page left");
  assertEquals(await tried.saw("200"), key);
  await tried.showsJobs("with", 1);
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("a page that was answered does not send again when it is reloaded", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await tried.press();
  await tried.saw("200 first run");
  await tried.page.reload();
  await tried.showsJobs("with", 1);
  assertEquals(await tried.count("with", ""), 1);
});

Deno.test("going offline and back makes one job", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await visitor.context.setOffline(true);
  await tried.press();
  await tried.saw("offline: waits");
  await tried.press();
  assertEquals(await countJobs(tried, stack()), 0);
  await visitor.context.setOffline(false);
  await tried.saw("200 first run");
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("going offline while the answer is on its way makes one job", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await tried.page.route("**/functions/v1/process-document", async (route) => {
    await route.fetch();
    await visitor.context.setOffline(true);
    await route.abort("internetdisconnected");
  }, { times: 1 });
  await tried.press();
  await tried.saw("offline: waits");
  assertEquals(await countJobs(tried, stack()), 1);
  await visitor.context.setOffline(false);
  await tried.saw("200 replayed");
  assertEquals(await countJobs(tried, stack()), 1);
});

Deno.test("a network that was cut goes on with the same key once it is mended", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await tried.turn("Cut the network", true);
  await tried.press();
  const key = await tried.saw("network cut");
  assertEquals(await countJobs(tried, stack()), 0);
  await tried.turn("Cut the network", false);
  assertEquals(await tried.saw("200 first run"), key);
  assertEquals(await countJobs(tried, stack()), 1);
  assertEquals(await countJobs(tried, stack(), "without"), 0);
});

Deno.test("however many answers are lost, there is one job, and a job a press without protection", async () => {
  await using visitor = await visit();
  const tried = await openTryPage(visitor, stack());
  await tried.turn("Lose answers", true);
  await tried.press();
  const key = await tried.saw("answer lost");
  await tried.showsJobs("with", 1);
  await tried.press();
  await tried.saw(/try\s3/);
  await tried.turn("Lose answers", false);
  assertEquals(await tried.saw("200 replayed"), key);
  assert(await tried.count("with", "answer lost", 2) >= 2);
  await tried.showsJobs("without", 2);
  assertEquals(await countJobs(tried, stack()), 1);
});
