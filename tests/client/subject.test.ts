import { assertEquals } from "@std/assert";
import { subjectOf } from "../../shared/client/outgoing.ts";

/** A token as servers write it: base64 for URLs, without padding. */
function bearer(claims: unknown): string {
  const text = btoa(JSON.stringify(claims)).replaceAll("+", "-")
    .replaceAll("/", "_").replaceAll("=", "");
  return `Bearer e30.${text}.sig`;
}

const of = (headers: Record<string, string>) => subjectOf(new Headers(headers));

Deno.test("the subject is the token's, whatever characters the token has", () => {
  for (const sub of ["ada", "~~~~>>>>", "????", "a?b>c~d"]) {
    assertEquals(of({ authorization: bearer({ sub }), apikey: "k" }), sub);
  }
});

Deno.test("without a subject it is the credential", () => {
  const role = bearer({ role: "anon" });
  assertEquals(of({ authorization: role, apikey: "k" }), role);
  assertEquals(of({ authorization: "Basic x" }), "Basic x");
  assertEquals(of({ apikey: "sb_publishable_x" }), "sb_publishable_x");
  assertEquals(of({ cookie: "session=1", apikey: "k" }), "session=1");
  assertEquals(of({}), "");
});
