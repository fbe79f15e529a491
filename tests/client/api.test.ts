import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type ApiOptions,
  createApi,
  createIdempotentFetch,
  IdempotencyProblemError,
  memoryStorage,
} from "../../shared/client.ts";
import { z } from "zod";
import { refused } from "../support/scripted_fetch.ts";

/** An API that answers as told, and what it was asked. */
function api(
  answer: () => Response,
  options: Omit<ApiOptions, "fetch"> = {},
) {
  const asked: Request[] = [];
  const calls = createApi({
    baseUrl: "http://x/functions/v1/",
    ...options,
    fetch: createIdempotentFetch({
      storage: memoryStorage(),
      fetch(input, init) {
        asked.push(new Request(input, init));
        return Promise.resolve(answer());
      },
    }),
  });
  return { ...calls, asked };
}

Deno.test("each call has its method, its address, JSON and a key", async () => {
  const calls = api(() => Response.json({ ok: true }));
  await calls.apiPost("a", { n: 1 });
  await calls.apiPut("a/1", [1]);
  await calls.apiPatch("a/1", "text");
  await calls.apiDelete("a/1");
  assertEquals(
    await Promise.all(calls.asked.map(async (request) => [
      request.method,
      request.url,
      request.headers.get("content-type"),
      await request.text(),
    ])),
    [
      ["POST", "http://x/functions/v1/a", "application/json", '{"n":1}'],
      ["PUT", "http://x/functions/v1/a/1", "application/json", "[1]"],
      ["PATCH", "http://x/functions/v1/a/1", "application/json", '"text"'],
      ["DELETE", "http://x/functions/v1/a/1", null, ""],
    ],
  );
  for (const { headers } of calls.asked) assert(headers.get("idempotency-key"));
});

Deno.test("what fetch takes as it is goes as it is", async () => {
  const calls = api(() => Response.json({}));
  const form = new FormData();
  form.set("a", "1");
  for (
    const body of [
      form,
      new Blob(["1"], { type: "text/csv" }),
      new URLSearchParams({ a: "1" }),
      new Uint8Array([49]),
    ]
  ) await calls.apiPost("a", body);
  const types = calls.asked.map(({ headers }) => headers.get("content-type"));
  assertEquals(types.map((type) => type?.split(/[; ]/)[0]), [
    "multipart/form-data",
    "text/csv",
    "application/x-www-form-urlencoded",
    undefined,
  ]);
  const texts = await Promise.all(calls.asked.map((one) => one.text()));
  assert(texts[0]!.includes('name="a"'));
  assertEquals(texts.slice(1), ["1", "a=1", "1"]);
});

Deno.test("so do a form and a file of React Native, which has no tags on them", async () => {
  const form = new FormData();
  form.set("a", "1");
  const bodies = [form, new Blob(["1"], { type: "text/csv" })];
  const calls = api(() => Response.json({}));
  using untagged = new DisposableStack();
  const { toStringTag } = Symbol;
  for (const { prototype } of [FormData, Blob]) {
    const tag = Object.getOwnPropertyDescriptor(prototype, toStringTag)!;
    Reflect.deleteProperty(prototype, toStringTag);
    untagged.defer(() => {
      Object.defineProperty(prototype, toStringTag, tag);
    });
  }
  for (const body of bodies) await calls.apiPost("a", body);
  assertEquals(
    calls.asked.map(({ headers }) =>
      headers.get("content-type")?.split(";")[0]
    ),
    ["multipart/form-data", "text/csv"],
  );
  assertEquals(await calls.asked[1]!.text(), "1");
});

Deno.test("headers are those of the API, asked for anew, and those of the call over them", async () => {
  let count = 0;
  const calls = api(() => Response.json({}), {
    headers: () => Promise.resolve({ Authorization: `${++count}`, "X-A": "1" }),
  });
  await calls.apiPost("a");
  await calls.apiPost("a", undefined, { headers: { "x-a": "2" }, key: "mine" });
  assertEquals(
    calls.asked.map(({ headers }) => [
      headers.get("authorization"),
      headers.get("x-a"),
    ]),
    [["1", "1"], ["2", "2"]],
  );
  assertEquals(calls.asked[1]!.headers.get("idempotency-key"), "mine");
});

Deno.test("data is JSON, text, or nothing, and may be checked", async () => {
  const post = (answer: Response) => api(() => answer).apiPost("a");
  const problemLike = new Response("[1]", {
    headers: { "Content-Type": "application/vnd.shop+json" },
  });
  assertEquals((await post(problemLike)).data, [1]);
  assertEquals((await post(new Response("[1]"))).data, "[1]");
  assertEquals((await post(new Response(null, { status: 204 }))).data, null);
  const empty = { "Content-Type": "application/json" };
  const nothing = new Response(null, { status: 204, headers: empty });
  assertEquals((await post(nothing)).data, null);
  const lines = new Response("1\n2\n", {
    headers: { "Content-Type": "application/x-ndjson" },
  });
  assertEquals((await post(lines)).data, "1\n2\n");
  const { parse } = z.object({ total: z.number() });
  const checked = await api(() => Response.json({ total: 3 }))
    .apiPost("a", {}, { parse });
  assertEquals(checked.data.total, 3);
  await assertRejects(
    () => api(() => Response.json({})).apiPost("a", {}, { parse }),
    z.ZodError,
  );
});

Deno.test("the key of a question confirms it", async () => {
  const calls = api(() => refused(409, "CREDIT_CONFIRMATION_REQUIRED"));
  const question = await assertRejects(
    () => calls.apiPost("events", {}),
    IdempotencyProblemError,
  );
  const { key } = question;
  await assertRejects(() =>
    calls.apiPost("events?confirm_credit=1", {}, { key: key! })
  );
  assertEquals(calls.asked[1]!.headers.get("idempotency-key"), key!);
});
