import { createHash } from "node:crypto";
import { assert, assertEquals } from "@std/assert";
import { countTokens } from "../../../functions/generate-training-data/examples.ts";
import { call, fixture, formWith } from "../../support/call.ts";
import { tripsOf } from "../../support/database_calls.ts";
import { loseAnswer } from "../../support/ledger_row.ts";
import { unique } from "../../support/probe.ts";
import { type Actor, signUp, withStack } from "../../support/stack.ts";

const FUNCTION = "generate-training-data";

const stack = withStack();
let ada: Actor;
let ben: Actor;
let guide: string;
let claims: string;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  ben = await signUp(stack());
  guide = await upload(ada, "guide.md");
  claims = await upload(ada, "claims.pdf");
});

async function upload(actor: Actor, name: string): Promise<string> {
  const answer = await call(stack(), actor, "process-document", {
    body: formWith(await fixture(name), name),
  });
  return answer.body.documentId;
}

async function datasets({ client }: Actor) {
  const { data } = await client.from("training_datasets").select()
    .throwOnError();
  return data;
}

Deno.test("a data set is stored as JSON Lines, and its statistics are of these lines", async () => {
  const { status, body } = await call(stack(), ada, FUNCTION, {
    body: { documentIds: [guide, claims, guide] },
  });
  assertEquals([status, body.format], [200, "qa"]);
  const stored = (await datasets(ada)).find(({ id }) => id === body.datasetId)!;
  const lines = stored.content.trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  const contents = lines.flatMap(({ messages }) =>
    messages.map(({ content }: { content: string }) => content)
  );
  const { statistics } = body;
  assertEquals(statistics.documents, 2);
  assertEquals(statistics.examples, lines.length);
  assertEquals(
    statistics.tokens,
    contents.reduce((sum, content) => sum + countTokens(content), 0),
  );
  assertEquals(
    statistics.bytes,
    new TextEncoder().encode(stored.content).length,
  );
  const { data: sources } = await ada.client
    .from("training_dataset_documents").select("document_id")
    .eq("dataset_id", body.datasetId).throwOnError();
  assertEquals(
    sources.map(({ document_id }) => document_id).sort(),
    [guide, claims].sort(),
  );
});

Deno.test("a worker that dies after its data set leaves one, which the retry names", async () => {
  const request = { body: { documentIds: [claims] }, key: unique("key") };
  const first = await call(stack(), ada, FUNCTION, request);
  const before = (await datasets(ada)).length;
  await loseAnswer(stack(), request.key);
  const second = await call(stack(), ada, FUNCTION, request);
  assertEquals([second.status, second.replayed], [200, false]);
  assertEquals(second.body, first.body);
  assertEquals((await datasets(ada)).length, before);
});

Deno.test("completion examples are prompt and completion", async () => {
  const { body } = await call(stack(), ada, FUNCTION, {
    body: { documentIds: [claims], format: "completion" },
  });
  const stored = (await datasets(ada)).find(({ id }) => id === body.datasetId)!;
  for (const line of stored.content.trimEnd().split("\n")) {
    assertEquals(Object.keys(JSON.parse(line)), ["prompt", "completion"]);
  }
});

Deno.test("ten calls with one key make one data set", async () => {
  const before = (await datasets(ada)).length;
  const request = { body: { documentIds: [guide] }, key: unique("key") };
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => call(stack(), ada, FUNCTION, request)),
  );
  const { body, replayed } = await call(stack(), ada, FUNCTION, request);
  assert(replayed);
  for (const answer of answers) {
    assert([200, 409].includes(answer.status), `got ${answer.status}`);
    if (answer.status === 200) assertEquals(answer.body, body);
  }
  assertEquals((await datasets(ada)).length, before + 1);
});

Deno.test("however many documents, the trips are the same", async () => {
  const text = new TextDecoder().decode(await fixture("guide.md"));
  const documentIds = await Promise.all(
    Array.from({ length: 8 }, async (_, n) => {
      const { body } = await call(stack(), ada, "process-document", {
        body: formWith(`${text}\n\nEdition ${n}.`, `guide-${n}.md`),
      });
      return body.documentId;
    }),
  );
  for (const ids of [documentIds.slice(0, 1), documentIds]) {
    const request = { body: { documentIds: ids }, key: unique("key") };
    const ask = () => call(stack(), ada, FUNCTION, request);
    assertEquals(await tripsOf(ask), [
      "rpc/idempotency_claim",
      "rpc/read_processed_documents",
      "rpc/idempotency_claim_many",
      "rpc/idempotency_settle_many",
      "rpc/store_training_dataset",
      "rpc/idempotency_complete",
    ]);
    assertEquals(await tripsOf(ask), ["rpc/idempotency_claim"]);
  }
});

Deno.test("an attempt that broke off is taken up where it ended", async () => {
  const request = {
    body: { documentIds: [guide, claims] },
    key: unique("key"),
  };
  const ask = () => call(stack(), ada, FUNCTION, request);
  const signature =
    "store_training_dataset(uuid[], text, text, integer, integer, text, text)";
  await stack().sql(
    `revoke execute on function public.${signature} from authenticated`,
  );
  let retry: Awaited<ReturnType<typeof ask>> | undefined;
  try {
    assertEquals((await ask()).status, 500);
  } finally {
    await stack().sql(
      `grant execute on function public.${signature} to authenticated`,
    );
  }
  const calls = await tripsOf(async () => retry = await ask());
  assertEquals(retry?.status, 200);
  assert(calls.includes("rpc/idempotency_claim_many"));
  assert(!calls.includes("rpc/idempotency_settle_many"), "made them again");
  const afresh = await call(stack(), ada, FUNCTION, { body: request.body });
  const contents = (await datasets(ada))
    .filter(({ id }) =>
      [retry?.body.datasetId, afresh.body.datasetId].includes(id)
    )
    .map(({ content }) => content);
  assertEquals(contents.length, 2);
  assertEquals(contents[0], contents[1]);
  assertEquals(retry?.body.statistics, afresh.body.statistics);
});

Deno.test("somebody else's document is as unknown as one that is not there", async () => {
  const missing = crypto.randomUUID();
  const ask = (id: string) =>
    call(stack(), ben, FUNCTION, { body: { documentIds: [id] } });
  const [other, none] = [await ask(guide), await ask(missing)];
  assertEquals([other.status, none.status], [404, 404]);
  const named = JSON.stringify(other.body).replaceAll(guide, missing);
  assertEquals(JSON.parse(named), none.body);
});

Deno.test("a user can neither see another's data set nor make one of another's document", async () => {
  assertEquals(await datasets(ben), []);
  const { error } = await ben.client.rpc("store_training_dataset", {
    p_document_ids: [guide],
    p_format: "qa",
    p_content: "{}",
    p_examples: 1,
    p_tokens: 1,
    p_encoding: "o200k_base",
  });
  assertEquals(error?.code, "23503");
  assertEquals(await datasets(ben), []);
});

Deno.test("documents have to be processed, and to yield something", async () => {
  const { data } = await ada.client.from("documents").insert({
    title: "Word",
    mime_type: "text/plain",
    content: "one",
  }).select("id").single().throwOnError();
  const request = { body: { documentIds: [data.id] }, key: unique("key") };
  const unprocessed = await call(stack(), ada, FUNCTION, request);
  assertEquals(
    [unprocessed.status, unprocessed.body.code],
    [409, "DOCUMENT_NOT_PROCESSED"],
  );
  await call(stack(), ada, "process-document", {
    body: { documentId: data.id },
  });
  const fruitless = await call(stack(), ada, FUNCTION, request);
  assertEquals([fruitless.status, fruitless.body.code], [422, "NO_EXAMPLES"]);
});

Deno.test("documents too long for one data set are refused together", async () => {
  const { body } = await call(stack(), ada, "process-document", {
    body: formWith("All is well. ".repeat(40_000), "long.txt"),
  });
  const answer = await call(stack(), ada, FUNCTION, {
    body: { documentIds: [guide, body.documentId] },
  });
  assertEquals([answer.status, answer.body.code], [413, "DATASET_TOO_LARGE"]);
  const { data } = await ada.client.rpc("read_processed_documents", {
    p_document_ids: [guide, body.documentId],
    p_max_characters: 520_000,
  }).throwOnError();
  assertEquals(data.map(({ content }) => content), [null, null]);
});

Deno.test("chunks that their user writes count with what is in them, wherever they say that they stand", async () => {
  const { data: document } = await ada.client.from("documents")
    .insert({ title: "Guide", mime_type: "text/markdown", content: "-" })
    .select("id").single().throwOnError();
  const content = "One key is a name for one intention. ".repeat(200);
  const sha256 = createHash("sha256").update(content).digest("hex");
  await ada.client.from("document_chunks").insert(
    Array.from({ length: 100 }, (_, position) => ({
      document_id: document.id,
      position,
      start_offset: 0,
      end_offset: content.length,
      content,
      sha256,
    })),
  ).throwOnError();
  const { status, body } = await call(stack(), ada, FUNCTION, {
    body: { documentIds: [document.id] },
  });
  assertEquals([status, body.code], [413, "DATASET_TOO_LARGE"]);
});

Deno.test("examples too large for one data set are refused, and not called a failure", async () => {
  const sentences = Array.from(
    { length: 25_000 },
    (_, index) => `A b c d ${index} four.`,
  );
  const { data } = await ada.client.from("documents").insert({
    // In JSON each of them takes six bytes, and each sentence is asked for by it.
    title: "\u0001".repeat(200),
    mime_type: "text/plain",
    content: sentences.join(" "),
  }).select("id").single().throwOnError();
  await call(stack(), ada, "process-document", {
    body: { documentId: data.id },
  });
  const before = (await datasets(ada)).length;
  const answer = await call(stack(), ada, FUNCTION, {
    body: { documentIds: [data.id] },
  });
  assertEquals(
    [answer.status, answer.body.code, answer.body.retryable],
    [413, "DATASET_TOO_LARGE", false],
  );
  assertEquals((await datasets(ada)).length, before);
});

Deno.test("quotes and lists that nest deeper than anybody reads are text like any other", async () => {
  const rest = "Leases\nA lease is the time for which a claim lasts.";
  for (const marker of [">", "> ", "- ", "1. "]) {
    const { body } = await call(stack(), ada, "process-document", {
      body: formWith(`${marker.repeat(20_000)}deep\n\n${rest}`, "deep.md"),
    });
    const answer = await call(stack(), ada, FUNCTION, {
      body: { documentIds: [body.documentId] },
    });
    assertEquals([marker, answer.status], [marker, 200]);
  }
});

Deno.test("a malformed request is refused before anything is read", async () => {
  const many = Array.from({ length: 101 }, () => crypto.randomUUID());
  for (
    const body of [
      {},
      { documentIds: [] },
      { documentIds: many },
      { documentIds: guide },
      { documentIds: ["x"] },
      { documentIds: [guide], format: "poem" },
    ]
  ) {
    const answer = await call(stack(), ada, FUNCTION, { body });
    assertEquals([answer.status, answer.body.code], [400, "REQUEST_INVALID"]);
  }
});
