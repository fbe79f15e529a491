import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import {
  archive,
  ArchiveError,
  includeArchived,
  restore,
} from "../../shared/archive.ts";
import type { Database } from "../../shared/database.types.ts";

Deno.test("archived rows are asked for in one way only", () => {
  const asked = (query: string) =>
    includeArchived(new Request(`http://x/quotations${query}`));
  assertEquals(asked(""), false);
  assertEquals(asked("?include_archived=false"), false);
  assertEquals(asked("?limit=5&include_archived=true"), true);
  for (
    const query of [
      "?include_archived",
      "?include_archived=yes",
      "?include_archived=true&include_archived=true",
      "?include_archived=true&include_archived=false",
    ]
  ) {
    const error = assertThrows(() => asked(query), ArchiveError);
    assertEquals(error.code, "QUERY_INVALID");
  }
});

const failing = (body: unknown) =>
  createClient<Database>("http://127.0.0.1", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: () => Promise.resolve(Response.json(body, { status: 400 })),
    },
  });

Deno.test("a database that fails is told as such, with what it said", async () => {
  const said = { code: "57014", message: "statement timeout" };
  for (const [verb, call] of Object.entries({ archive, restore })) {
    const error = await assertRejects(
      () => call(failing(said), "quotations", "7"),
      ArchiveError,
      `Cannot ${verb} quotations 7: statement timeout (57014)`,
    );
    assertEquals(error.code, "DATABASE_FAILED");
  }
});

Deno.test("the types know which tables have soft delete", () => {
  const client = failing({});
  // @ts-expect-error there is no such table
  const none = () => archive(client, "nothing", "7");
  // @ts-expect-error its rows cannot be archived
  const other = () => archive(client, "idempotency_keys", "7");
  // Without types every table may be one.
  const any = () => archive(createClient("http://127.0.0.1", "k"), "x", "7");
  assertEquals([none, other, any].map((call) => typeof call), [
    "function",
    "function",
    "function",
  ]);
});
