import {
  assert,
  assertEquals,
  assertMatch,
  assertObjectMatch,
  assertRejects,
} from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { type Stack, startStack } from "../../../scripts/stack/stack.ts";
import { sendRaw } from "../../proof/fuzz/wire.ts";
import { withStack } from "./each_database.ts";

const WITHIN_MS = 60_000;

Deno.test("The gateway serves Auth, data and health", async (t) => {
  await withStack({ memory: true }, async (stack) => {
    await t.step("supabase-js signs up, in, and out", async () => {
      const client = createClient(stack.apiUrl, stack.publishableKey, {
        auth: { persistSession: false, autoRefreshToken: false },
      });
      const credentials = { email: "ada@example.com", password: "engine no 1" };
      const up = await client.auth.signUp(credentials);
      assertEquals(up.error, null);
      assert(up.data.session);
      const into = await client.auth.signInWithPassword(credentials);
      assertEquals(into.data.user?.id, up.data.user?.id);
      const note = await client.from("notes").insert({ body: "hello" })
        .select("user_id").single();
      assertEquals(note.data?.user_id, up.data.user?.id);
      assertEquals((await client.auth.signOut()).error, null);
      const wrong = await client.auth.signInWithPassword({
        ...credentials,
        password: "wrong",
      });
      assertEquals(wrong.error?.code, "invalid_credentials");
    });

    await t.step(
      "a request line is read as it stands, and refused where it is none",
      async () => {
        const port = Number(new URL(stack.apiUrl).port);
        const body = new TextEncoder().encode("{}");
        for (
          const [method, target, status] of [
            ["get", "/functions/v1/echo", 200],
            ["TRACE", "/functions/v1/echo", 400],
            ["POST", "http://[::1/functions/v1/echo", 400],
          ] as const
        ) {
          const answer = await sendRaw(
            port,
            { method, target, headers: [], body, framing: "length" },
            WITHIN_MS,
          );
          assertObjectMatch(answer, { kind: "answer", status });
        }
      },
    );

    await t.step("keys are checked, and needed", async () => {
      for (const path of ["/rest/v1/notes", "/auth/v1/user"]) {
        for (const apikey of ["", "sb_publishable_wrong"]) {
          const response = await stack.call(path, { headers: { apikey } });
          assertEquals(response.status, 401);
          await response.body?.cancel();
        }
      }
    });

    await t.step("a page of another origin may call it", async () => {
      const asked =
        "apikey, authorization, content-type, x-client-info, prefer";
      for (const path of ["/rest/v1/notes", "/auth/v1/signup"]) {
        const response = await fetch(`${stack.apiUrl}${path}`, {
          method: "OPTIONS",
          headers: {
            origin: "https://shop.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
          },
        });
        assertEquals(response.status, 204);
        const { headers } = response;
        assertEquals(headers.get("access-control-allow-origin"), "*");
        assertEquals(headers.get("access-control-allow-headers"), asked);
        assertMatch(headers.get("access-control-allow-methods") ?? "", /PATCH/);
      }
      const answer = await stack.call("/rest/v1/notes");
      assertEquals(answer.headers.get("access-control-allow-origin"), "*");
      await answer.body?.cancel();
    });

    await t.step("health names the database", async () => {
      const response = await fetch(`${stack.apiUrl}/functions/v1/_health`);
      assertEquals(response.status, 200);
      assertEquals(await response.json(), { status: "ok", database: "pglite" });
    });

    await t.step("one process runs one stack at a time", async () => {
      const error = await assertRejects(
        () => startStack({ port: 0, memory: true }),
        Error,
      );
      assertMatch(error.message, /second local stack in this process/);
    });

    await t.step(
      "pages may load what this origin serves, and nothing else",
      async () => {
        for (
          const [path, type] of [
            ["/", "text/html"],
            ["/try.css", "text/css"],
            ["/try.js", "text/javascript"],
            ["/client.js", "text/javascript"],
            ["/sample.md", "text/markdown"],
          ] as const
        ) {
          const response = await fetch(stack.apiUrl + path);
          assertEquals(response.status, 200, path);
          assertMatch(response.headers.get("content-type")!, new RegExp(type));
          const policy = response.headers.get("content-security-policy")!;
          assertMatch(policy, /^default-src 'none'; script-src 'self';/);
          assert(!policy.includes("unsafe"));
          assertEquals((await response.text()).length > 0, true);
        }
      },
    );

    await t.step("nothing else is served", async () => {
      for (
        const path of ["/_system", "/storage/v1/bucket", "/rest/v2/x"]
      ) {
        const response = await stack.call(path);
        assertEquals(response.status, 404);
        assertEquals((await response.json()).code, "NOT_FOUND");
      }
    });

    await t.step("a body that announces too much is not read", async () => {
      const response = await stack.call("/rest/v1/notes", {
        method: "POST",
        body: new Uint8Array(61 * 1024 * 1024),
      });
      assertEquals(response.status, 413);
      await response.body?.cancel();
    });

    await t.step(
      "the emulated provider makes one job for one idempotency key",
      () => useProvider(stack),
    );
  });
});

async function useProvider(stack: Stack): Promise<void> {
  const base = Deno.env.get("TRAINING_API_URL")!;
  const authorization = `Bearer ${Deno.env.get("TRAINING_API_KEY")}`;
  const form = new FormData();
  form.set("purpose", "fine-tune");
  form.set("file", new File(['{"a":1}\n'], "data.jsonl"));
  const upload = await fetch(`${base}/files`, {
    method: "POST",
    headers: { authorization },
    body: form,
  });
  const { id: training_file } = await upload.json();
  assertMatch(training_file, /^file-/);

  const create = async (key: string | null, model = "gpt-x") => {
    const response = await fetch(`${base}/fine_tuning/jobs`, {
      method: "POST",
      headers: {
        authorization,
        "content-type": "application/json",
        ...(key === null ? {} : { "idempotency-key": key }),
      },
      body: JSON.stringify({ model, training_file }),
    });
    return { status: response.status, job: await response.json() };
  };
  const [one, again] = await Promise.all([create("k-1"), create("k-1")]);
  assertEquals(one, again);
  assertEquals(one.job.object, "fine_tuning.job");
  assertEquals(one.job.status, "queued");
  assertMatch(one.job.id, /^ftjob-/);
  assertEquals((await create("k-1", "other")).status, 400);
  const unkeyed = await create(null);
  assert(unkeyed.job.id !== one.job.id);

  const found = await fetch(`${base}/fine_tuning/jobs/${one.job.id}`, {
    headers: { authorization },
  });
  assertEquals(await found.json(), one.job);
  const anonymous = await fetch(`${base}/fine_tuning/jobs`, {
    method: "POST",
    body: "{}",
  });
  assertEquals(anonymous.status, 401);
  await anonymous.body?.cancel();

  const calls = await fetch(`${stack.apiUrl}/_provider/calls`);
  assertEquals(await calls.json(), { files: 1, jobs: 2, requests: 3 });
  assertEquals(stack.providerCalls(), 3);
}
