import { assertEquals } from "@std/assert";
import { assertNoComplaints, withBrowser } from "../support/browser.ts";
import {
  type Learned,
  openShop,
  type PageRequest,
  processInPage,
} from "../support/foreign_page.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";

const stack = withStack();
const visit = withBrowser();
let ada: Actor;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

async function newRequest(times: number): Promise<PageRequest> {
  const { data } = await ada.client.from("documents").insert({
    title: "Parcel",
    mime_type: "text/plain",
    content: "One parcel, one label.",
  }).select("id").single().throwOnError();
  const functionsUrl = `${stack().apiUrl}/functions/v1`;
  return { functionsUrl, headers: ada.headers, documentId: data.id, times };
}

async function countJobs({ documentId }: PageRequest): Promise<number> {
  const { data } = await ada.client.from("processing_jobs").select("id")
    .eq("document_id", documentId).throwOnError();
  return data.length;
}

Deno.test("a page of another origin may send a key, and read that the answer was replayed", async () => {
  await using shop = openShop(stack());
  await using visitor = await visit();
  const page = await visitor.open(shop.url);
  const request = await newRequest(1);
  const [first] = await page.evaluate(processInPage, request);
  const { replay, stored, sentKey } = first!;
  assertEquals([first!.status, replay, stored], [200, null, "true"]);
  const [again] = await page.evaluate(processInPage, {
    ...request,
    key: sentKey!,
  });
  assertEquals([again!.status, again!.replay], [200, "true"]);
  assertEquals(again!.jobId, first!.jobId);
  assertEquals(await countJobs(request), 1);
  assertNoComplaints(visitor);
});

Deno.test("two tabs of one page that send at once, five times each, make one job", async () => {
  await using shop = openShop(stack());
  await using visitor = await visit();
  const tabs = [await visitor.open(shop.url), await visitor.open(shop.url)];
  let request: PageRequest;
  let answers: Learned[];
  do {
    request = await newRequest(5);
    const learned = await Promise.all(
      tabs.map((tab) => tab.evaluate(processInPage, request)),
    );
    answers = learned.flat();
    // On a busy machine one tab may be done before the other begins: then these
    // are two undertakings.
  } while (!areAtOnce(answers));
  assertEquals(answers.map(({ status }) => status), Array(10).fill(200));
  assertEquals(new Set(answers.map(({ sentKey }) => sentKey)).size, 1);
  assertEquals(new Set(answers.map(({ jobId }) => jobId)).size, 1);
  assertEquals(await countJobs(request), 1);
});

function areAtOnce(answers: readonly Learned[]): boolean {
  const lastSent = Math.max(...answers.map(({ sentAt }) => sentAt));
  return answers.every(({ answeredAt }) => answeredAt > lastSent);
}
