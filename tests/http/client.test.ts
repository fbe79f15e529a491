import { createClient } from "@supabase/supabase-js";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  createApi,
  createIdempotentFetch,
  type Fetch,
  idempotencyKeyOf,
  IdempotencyProblemError,
  type IdempotentFetchOptions,
  isReplayed,
  type KeyStorage,
  memoryStorage,
  problemOf,
} from "../../shared/client.ts";
import type { Database } from "../../shared/database.types.ts";
import { codeBlocks, importBlock } from "../support/documented.ts";
import { effects, unique } from "../support/probe.ts";
import { type Actor, signUp, withStack } from "../support/stack.ts";
import { books, subscribe } from "../support/subscriber.ts";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

const QUICK = { baseMs: 10, maxMs: 50 };

/** What an app has: a client of Supabase, of somebody signed in. */
function app(options: IdempotentFetchOptions, actor: Actor = ada) {
  return createClient<Database>(stack().apiUrl, stack().publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      headers: { Authorization: actor.headers["Authorization"]! },
      fetch: createIdempotentFetch({
        match: ({ method, url }) =>
          method === "POST" && url.includes("/functions/v1/"),
        retry: QUICK,
        ...options,
      }),
    },
  });
}

/** A network that loses the first answers, after they took effect. */
function losing(count: number): { fetch: Fetch; sent: () => number } {
  let sent = 0;
  return {
    sent: () => sent,
    async fetch(input, init) {
      const response = await fetch(input, init);
      if (++sent > count) return response;
      await response.body?.cancel();
      throw new TypeError("connection reset");
    },
  };
}

const invoke = (client: ReturnType<typeof app>, body: object) =>
  client.functions.invoke("probe", { body });

Deno.test("an invocation whose answer is lost is recovered, with one execution", async () => {
  const effect = unique("effect");
  const network = losing(2);
  const client = app({ fetch: network.fetch, storage: memoryStorage() });
  const { data, error, response } = await invoke(client, {
    effect,
    status: 201,
    body: "made",
  });
  assertEquals([data, error, response?.status], ["made", null, 201]);
  assert(isReplayed(response!));
  assertEquals([network.sent(), await effects(stack(), effect)], [3, 1]);
});

Deno.test("ten presses at once make one execution, and all of them get its answer", async () => {
  const effect = unique("effect");
  const network = losing(0);
  const client = app({ fetch: network.fetch, storage: memoryStorage() });
  const body = { effect, body: "made", delayMs: 50 };
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => invoke(client, body)),
  );
  assertEquals(answers.map(({ data }) => data), Array(10).fill("made"));
  assertEquals([network.sent(), await effects(stack(), effect)], [1, 1]);
});

Deno.test("pressing again after the answer is another intention", async () => {
  const effect = unique("effect");
  const client = app({ storage: memoryStorage() });
  await invoke(client, { effect });
  await invoke(client, { effect });
  assertEquals(await effects(stack(), effect), 2);
});

Deno.test("after a reload the same press gets the answer that was lost", async () => {
  const effect = unique("effect");
  const storage = memoryStorage();
  const body = { effect, body: "made" };
  const before = app({
    fetch: losing(1).fetch,
    storage,
    retry: { attempts: 1 },
  });
  assert((await invoke(before, body)).error);
  const { data, response } = await invoke(app({ storage }), body);
  assertEquals([data, isReplayed(response!)], ["made", true]);
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("two tabs that press at once make one execution, also of a slow function", async () => {
  const effect = unique("effect");
  const items = memoryStorage();
  const tab = () => {
    const storage: KeyStorage = { ...items };
    return app({ storage });
  };
  const body = { effect, body: "made", delayMs: 200 };
  const answers = await Promise.all([
    invoke(tab(), body),
    invoke(tab(), body),
  ]);
  assertEquals(answers.map(({ data }) => data), ["made", "made"]);
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("two users of one browser do not share an attempt", async () => {
  const ben = await signUp(stack());
  const effect = unique("effect");
  const storage = memoryStorage();
  const lossy = app({
    fetch: losing(1).fetch,
    storage,
    retry: { attempts: 1 },
  });
  await invoke(lossy, { effect });
  const { response } = await invoke(app({ storage }, ben), { effect });
  assertEquals(isReplayed(response!), false);
  assertEquals(await effects(stack(), effect), 2);
});

Deno.test("a worker that throws is asked again, and the retry runs", async () => {
  const effect = unique("effect");
  const client = app({
    storage: memoryStorage(),
    retry: { ...QUICK, attempts: 3 },
  });
  const { error } = await invoke(client, { effect, throw: true });
  assertEquals(error.context.status, 500);
  assertEquals(await effects(stack(), effect), 3);
});

Deno.test("an upload whose answer is lost makes one job, although each form has its own boundary", async () => {
  const title = unique("title");
  const storage = memoryStorage();
  const upload = (client: ReturnType<typeof app>) => {
    const body = new FormData();
    body.set("file", new File(["One parcel, one label."], `${title}.txt`));
    return client.functions.invoke("process-document", { body });
  };
  const lossy = app({
    fetch: losing(1).fetch,
    storage,
    retry: { attempts: 1 },
  });
  assert((await upload(lossy)).error);
  const { data, response } = await upload(app({ storage }));
  assert(isReplayed(response!));
  const { data: documents } = await ada.client.from("documents").select("id")
    .like("title", `${title}%`).throwOnError();
  assertEquals(documents.map(({ id }) => id), [data.documentId]);
});

Deno.test("a question is confirmed under its key, once, and the next event is another one", async () => {
  const eve = await subscribe(stack(), { included: 0, cost: 5, credits: 12 });
  const client = app({ storage: memoryStorage() }, eve);
  const body = { title: "Party", startsAt: "2026-12-24T18:00:00Z" };
  const asked = await client.functions.invoke("events", { body });
  const problem = await problemOf(asked.response!);
  assertEquals(problem?.code, "CREDIT_CONFIRMATION_REQUIRED");
  assertEquals(problem?.members["cost"], 5);
  const key = problem!.key!;
  const confirm = () =>
    client.functions.invoke("events?confirm_credit=1", {
      body,
      headers: { "Idempotency-Key": key },
    });
  const [one, two] = [await confirm(), await confirm()];
  assertEquals(one.data, two.data);
  assert(isReplayed(two.response!));
  const next = await client.functions.invoke("events", { body });
  assertNotEquals(idempotencyKeyOf(next.response!), key);
  assertEquals((await books(eve)).balance, 7);
});

Deno.test("apiPost on a bad network makes one execution, and says that its answer is a replay", async () => {
  const effect = unique("effect");
  const { apiPost } = createApi({
    baseUrl: `${stack().apiUrl}/functions/v1/`,
    headers: () => ada.headers,
    fetch: createIdempotentFetch({
      match: () => true,
      fetch: losing(1).fetch,
      storage: memoryStorage(),
      retry: QUICK,
    }),
  });
  const made = await apiPost("probe", {
    effect,
    status: 201,
    headers: { "content-type": "application/json" },
    body: '{"sale":1}',
  });
  const { key, ...result } = made;
  assertEquals(result, { data: { sale: 1 }, replayed: true, status: 201 });
  assert(key);
  assertEquals(await effects(stack(), effect), 1);
});

Deno.test("apiPost throws what the server refused, by its code", async () => {
  const { apiPost } = createApi({
    baseUrl: `${stack().apiUrl}/functions/v1/`,
    headers: ada.headers,
    fetch: createIdempotentFetch({ storage: memoryStorage() }),
  });
  const error = await apiPost("probe", { status: "?" }).catch((error) => error);
  assert(error instanceof IdempotencyProblemError);
  const { code, status, retryable } = error;
  assertEquals(
    { code, status, retryable },
    { code: "PROBE_REQUEST_INVALID", status: 400, retryable: false },
  );
});

Deno.test("the recipe's code does what it says", async () => {
  const blocks = await codeBlocks("recipes/client.md", "ts");
  const exported = Object.assign(
    {},
    ...await Promise.all(blocks.slice(1).map(importBlock)),
  );
  const effect = unique("effect");
  const url = `${stack().apiUrl}/functions/v1/probe`;
  const init = {
    method: "POST",
    headers: ada.headers,
    body: JSON.stringify({ effect }),
  };
  assertEquals((await exported.submit(url, init)).status, 200);
  const connected = exported.connect(stack().apiUrl, stack().publishableKey);
  await connected.auth.setSession((await session(ada)).data.session);
  await connected.functions.invoke("probe", { body: { effect } });
  assertEquals(await effects(stack(), effect), 2);
  const unmatched = await exported.idempotentFetch(url, init);
  await unmatched.body?.cancel();
  assertEquals(unmatched.headers.has("x-idempotency-stored"), false);

  const eve = await subscribe(stack(), { included: 0, cost: 5, credits: 5 });
  const party = { title: "Party", startsAt: "2026-12-24T18:00:00Z" };
  const costs: unknown[] = [];
  const created = await exported.createEvent(
    app({ storage: memoryStorage() }, eve),
    party,
    (cost: unknown) => Promise.resolve(costs.push(cost) > 0),
  );
  assertEquals([costs, created.cost, created.balance], [[5], 5, 0]);
  // Neither of these is a user who declined, which is `null`.
  const agrees = () => Promise.resolve(true);
  const refused = (body: unknown) =>
    exported.createEvent(app({ storage: memoryStorage() }, eve), body, agrees)
      .then(() => "made or declined", (error: { code: string }) => error.code);
  assertEquals(await refused({ title: "" }), "REQUEST_INVALID");
  assertEquals(
    await refused({ ...party, title: "Too dear" }),
    "TOO_FEW_CREDITS",
  );

  const sell = exported.till(stack().apiUrl, ada.headers);
  assertEquals(await sell({ total: 1 }), { refused: "REQUEST_INVALID" });
});

function session({ client }: Actor) {
  return client.auth.getSession();
}
