import { assertEquals } from "@std/assert";
import { refuse } from "../../../../functions/_kit/refuse.ts";
import { StoreError } from "../../../../functions/_kit/store_error.ts";

async function refused(code: string) {
  const error = new StoreError("Cannot store an upload", { code, message: "" });
  const response = refuse(error, {}, new Request("http://x/documents"));
  const { code: told, retryable } = await response.json();
  return [
    response.status,
    told,
    retryable,
    response.headers.get("retry-after"),
  ];
}

Deno.test("what the database refuses for good is not asked for again", async () => {
  // A value that is none, a row that is gone, a permission that lacks.
  for (const code of ["22P02", "23503", "42501"]) {
    assertEquals(await refused(code), [500, "DATABASE_REFUSED", false, null]);
  }
});

Deno.test("a database that may do its part later is", async () => {
  for (const code of ["", "PGRST002", "42P01", "40001", "57014", "08006"]) {
    assertEquals(await refused(code), [503, "DATABASE_UNAVAILABLE", true, "5"]);
  }
});
