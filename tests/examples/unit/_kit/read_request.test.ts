import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { z } from "zod";
import {
  readJson,
  readQuery,
  storableMoment,
} from "../../../../functions/_kit/read_request.ts";
import { Refusal } from "../../../../functions/_kit/refuse.ts";

const Counted = z.object({ count: z.int() });

const post = (body: BodyInit | null, type = "application/json") =>
  new Request("http://x/", {
    method: "POST",
    body,
    headers: { "Content-Type": type },
  });

async function refused(req: Request): Promise<[number, string]> {
  const error = await assertRejects(() => readJson(req, Counted), Refusal);
  return [error.problem.status, error.problem.code];
}

Deno.test("readJson() gives what the body says", async () => {
  assertEquals(await readJson(post('{"count":1}'), Counted), { count: 1 });
});

Deno.test("readJson() tells malformed JSON from JSON of another shape", async () => {
  assertEquals(await refused(post("{")), [400, "JSON_MALFORMED"]);
  assertEquals(await refused(post("")), [400, "JSON_MALFORMED"]);
  assertEquals(await refused(post(new Uint8Array([34, 233, 34]))), [
    400,
    "JSON_MALFORMED",
  ]);
  for (const body of ["null", "[]", '{"count":"1"}', "{}"]) {
    assertEquals(await refused(post(body)), [400, "REQUEST_INVALID"]);
  }
});

Deno.test("readJson() refuses a body of another type, or without one", async () => {
  const code = "UNSUPPORTED_CONTENT_TYPE";
  assertEquals(await refused(post("{}", "text/plain")), [415, code]);
});

Deno.test("readJson() stops reading at 256 KiB, whatever length is declared", async () => {
  let pulled = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled += 16_384;
      controller.enqueue(new Uint8Array(16_384));
    },
  });
  assertEquals(await refused(post(endless)), [413, "REQUEST_TOO_LARGE"]);
  assertEquals(pulled < 400_000, true);
});

Deno.test("readJson() refuses a body that breaks off, and says to send it again", async () => {
  const broken = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new TypeError("cut off")),
  });
  assertEquals(await refused(post(broken)), [400, "REQUEST_BODY_INCOMPLETE"]);
});

Deno.test("readJson() refuses a body at once that declares too great a length", async () => {
  const req = new Request("http://x/", {
    method: "POST",
    body: "{}",
    headers: { "Content-Type": "application/json", "Content-Length": "999999" },
  });
  assertEquals(await refused(req), [413, "REQUEST_TOO_LARGE"]);
});

const Page = z.strictObject({ limit: z.coerce.number().int().default(50) });
const get = (query: string) => new Request(`http://x/events${query}`);

Deno.test("readQuery() gives what the query says, with defaults", () => {
  assertEquals(readQuery(get("?limit=2"), Page), { limit: 2 });
  assertEquals(readQuery(get(""), Page), { limit: 50 });
});

Deno.test("readQuery() takes a request that supabase-js sends to a region", () => {
  const query = "?limit=2&forceFunctionRegion=eu-west-1";
  assertEquals(readQuery(get(query), Page), { limit: 2 });
});

Deno.test("readQuery() refuses what is unknown, not valid, or there twice, and says which", () => {
  for (
    const [query, named] of [
      ["?limits=2", "limits"],
      ["?limit=x", "limit: "],
      ["?limit=1&limit=2", "limit is there twice"],
    ] as const
  ) {
    const { problem } = assertThrows(
      () => readQuery(get(query), Page),
      Refusal,
    );
    assertEquals([problem.status, problem.code], [400, "REQUEST_INVALID"]);
    assert(problem.detail.includes(named), problem.detail);
  }
});

Deno.test("readQuery() gives little of a long query back", () => {
  const name = "x".repeat(10_000);
  for (const query of [`?${name}=1`, `?${name}=1&${name}=2`]) {
    const { problem } = assertThrows(
      () => readQuery(get(query), Page),
      Refusal,
    );
    assert(problem.detail.length < 300);
  }
});

Deno.test("storableMoment takes what Postgres takes, as it is written", () => {
  for (
    const [text, isTaken] of [
      ["2026-11-29T21:27:15.124833+00:00", true],
      ["0001-01-01T00:00:00Z", true],
      ["9999-12-31T23:59:59-15:59", true],
      ["0000-01-01T00:00:00Z", false],
      ["2026-11-29T21:27:15+16:00", false],
      ["2026-11-29T21:27:15-23:59", false],
      ["2026-11-29T21:27:15", false],
      ["2026-02-30T21:27:15Z", false],
    ] as const
  ) {
    assertEquals([text, storableMoment.safeParse(text).success], [
      text,
      isTaken,
    ]);
  }
});
