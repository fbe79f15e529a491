import { assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import {
  findPostgres,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";
import { testOnEachDatabase, withStack } from "./each_database.ts";

testOnEachDatabase(
  "A function that returns one composite row answers one object",
  async (_t, stack) => {
    const p_body =
      "\"quoted\" 'single' \\back\\ \r\n\t {a,(b)} 😀 \u2028 e\u0301";
    const response = await stack.call("/rest/v1/rpc/answer", {
      method: "POST",
      body: JSON.stringify({ p_body }),
    });
    assertEquals(response.status, 200);
    assertEquals(await response.json(), {
      outcome: "claimed",
      attempt: 1,
      fence: 7,
      body: p_body,
      headers: { a: "é", b: 1 },
      at: "2026-01-02T03:04:05.678901+00:00",
    });
  },
);

testOnEachDatabase(
  "A JSON argument arrives as what it is",
  async (_t, stack) => {
    const values: [value: unknown, kind: string][] = [
      [{ a: "1" }, "object"],
      [["a"], "array"],
      [1, "number"],
      [true, "boolean"],
    ];
    for (const [p_value, kind] of values) {
      const response = await stack.call("/rest/v1/rpc/kind", {
        method: "POST",
        body: JSON.stringify({ p_value }),
      });
      assertEquals(await response.json(), kind);
    }
  },
);

testOnEachDatabase(
  "An error keeps its SQLSTATE, detail and hint, with PostgREST's status",
  async (t, stack) => {
    const { token } = await stack.signUp();
    const expected: [state: string, status: number][] = [
      ["22023", 400],
      ["PT429", 429],
      ["42501", 403],
      ["P0001", 400],
      ["23514", 400],
      ["23505", 409],
      ["40001", 500],
      ["57014", 500],
      ["XX001", 500],
      ["IDK01", 400],
    ];
    for (const [state, status] of expected) {
      await t.step(`${state} answers ${status}`, async () => {
        const response = await stack.call("/rest/v1/rpc/refuse", {
          method: "POST",
          headers: { authorization: `Bearer ${token}` },
          body: JSON.stringify({ p_state: state }),
        });
        const { code, message, details } = await response.json();
        assertEquals({ status: response.status, code, message, details }, {
          status,
          code: state,
          message: "refused",
          details: "the detail",
        });
      });
    }
  },
);

testOnEachDatabase(
  "A call runs as the role and with the claims of its caller",
  async (_t, stack) => {
    const { id, token } = await stack.signUp();
    const whoami = async (headers: Record<string, string>) => {
      const response = await stack.call("/rest/v1/rpc/whoami", {
        method: "POST",
        headers,
        body: "{}",
      });
      return await response.json();
    };
    const role = (name: string, uid: string | null) => ({
      uid,
      role: name,
      jwt_role: name,
      user: name,
      method: "POST",
    });
    assertEquals(
      await whoami({ authorization: `Bearer ${token}` }),
      role("authenticated", id),
    );
    assertEquals(await whoami({}), role("anon", null));
    assertEquals(
      await whoami({ apikey: stack.secretKey }),
      role("service_role", null),
    );
  },
);

testOnEachDatabase(
  "Fifty calls at once are all answered",
  async (_t, stack) => {
    const { token } = await stack.signUp();
    const client = createClient(stack.apiUrl, stack.publishableKey, {
      global: { headers: { Authorization: `Bearer ${token}` } },
      auth: { persistSession: false, autoRefreshToken: false },
    });
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const { error } = index % 2
          ? await client.rpc("pause", { p_seconds: 0.02 })
          : await client.from("notes").insert({ body: `note ${index}` });
        return error;
      }),
    );
    assertEquals(answers.filter((error) => error !== null), []);
    const { count } = await client.from("notes")
      .select("*", { count: "exact", head: true });
    assertEquals(count, 25);
  },
);

Deno.test({
  name: "A database that has gone away answers 503 as PostgREST does",
  ignore: findPostgres() === null,
  fn: async () => {
    const cluster = await startCluster();
    try {
      await withStack({ databaseUrl: cluster.url }, async (stack) => {
        const call = () =>
          stack.call("/rest/v1/rpc/whoami", { method: "POST", body: "{}" });
        assertEquals((await call()).status, 200);
        await cluster.close();
        for (let attempt = 0; attempt < 3; attempt++) {
          const response = await call();
          const { code, message } = await response.json();
          assertEquals([response.status, code], [503, "PGRST001"], message);
        }
        const health = await fetch(`${stack.apiUrl}/functions/v1/_health`);
        assertEquals(health.status, 503);
        await health.body?.cancel();
      });
    } finally {
      await cluster.close();
    }
  },
});

testOnEachDatabase(
  "What is asked while the schema changes leaves nothing of the old one behind",
  async (_t, stack) => {
    const ask = async () => {
      const response = await stack.call("/rest/v1/changing?select=id", {
        headers: { apikey: stack.secretKey },
      });
      await response.body?.cancel();
      return response.status;
    };
    await stack.sql("create table public.away (id integer)");
    await stack.sql("grant select on public.away to service_role");
    for (let change = 0; change < 10; change++) {
      await Promise.all([
        ...[ask(), ask(), ask()],
        stack.sql("alter table public.away rename to changing"),
      ]);
      assertEquals(await ask(), 200);
      await stack.sql("alter table public.changing rename to away");
    }
  },
);
