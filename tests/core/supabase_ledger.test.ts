import { assert, assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import {
  IdempotencyError,
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  TooManyKeysError,
} from "../../shared/idempotency/errors.ts";
import {
  type LedgerCall,
  type LedgerClient,
  supabaseLedger,
} from "../../shared/idempotency/supabase_ledger.ts";

const IDENTITY = { userId: null, scope: "orders", key: "order-17" };

/** How often a call is sent that is answered like this, and what it ends in. */
async function ask(status: number, code?: string) {
  let calls = 0;
  const answer = {
    data: null,
    error: { message: "no", ...(code === undefined ? {} : { code }) },
    status,
  };
  const ledger = supabaseLedger({
    rpc() {
      calls++;
      const call: LedgerCall = Object.assign(Promise.resolve(answer), {
        abortSignal: () => call,
      });
      return call;
    },
  });
  const error = await assertRejects(
    () => ledger.read(IDENTITY),
    IdempotencyError,
  );
  return { calls, error };
}

Deno.test("an answer of what stands before the database is worth another try", async () => {
  await Promise.all(
    [
      [0],
      [429],
      [500],
      [502],
      [503],
      [504],
      [599],
      // The Data API has no connection left, or lost its own.
      [503, "PGRST000"],
      [504, "PGRST003"],
    ].map(async ([status, code]) => {
      const { calls, error } = await ask(status as number, code as string);
      assert(error instanceof LedgerUnavailableError, `${status}: ${error}`);
      assert(calls > 1, `${status} ${code}`);
    }),
  );
});

Deno.test("so is what the database says will pass", async () => {
  await Promise.all(
    ["08006", "40001", "40P01", "53300", "57014", "57P01", "55P03"].map(
      async (code) => {
        const { calls, error } = await ask(400, code);
        assert(error instanceof LedgerUnavailableError, `${code}: ${error}`);
        assert(calls > 1, code);
      },
    ),
  );
});

Deno.test("a refusal of the database is final, whatever status it comes with", async () => {
  for (
    const [status, code, Refusal] of [
      [429, "PT429", TooManyKeysError],
      [400, "22P02", LedgerMisconfiguredError],
      [401, "PGRST301", LedgerMisconfiguredError],
      [403, "42501", LedgerMisconfiguredError],
      [404, "PGRST202", LedgerMisconfiguredError],
      [404, undefined, LedgerMisconfiguredError],
      [499, undefined, LedgerMisconfiguredError],
      [500, "XX000", LedgerMisconfiguredError],
    ] as const
  ) {
    const { calls, error } = await ask(status, code);
    assert(error instanceof Refusal, `${status} ${code}: ${error}`);
    assertEquals(calls, 1, `${status} ${code}`);
  }
});

Deno.test("the secret key is taken from the environment, under each name it has there, for its project alone", async () => {
  const url = "https://project.test";
  const names = {
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x"}',
    SUPABASE_SECRET_KEY: "sb_secret_x",
    SUPABASE_SERVICE_ROLE_KEY: "sb_secret_x",
  };
  const before = Object.keys({ ...names, SUPABASE_URL: url })
    .map((name) => [name, Deno.env.get(name)] as const);
  const keyOf = async (supabaseUrl: string) => {
    let apikey: string | undefined;
    const answer = { data: [], error: null, status: 200 };
    const ledger = supabaseLedger({
      supabaseUrl,
      rpc() {
        const call: LedgerCall = Object.assign(Promise.resolve(answer), {
          abortSignal: () => call,
          setHeader(name: string, value: string) {
            if (name === "apikey") apikey = value;
            return call;
          },
        });
        return call;
      },
    } as LedgerClient);
    await ledger.read(IDENTITY);
    return apikey;
  };
  try {
    for (const [name, value] of Object.entries(names)) {
      for (const [name] of before) Deno.env.delete(name);
      Deno.env.set("SUPABASE_URL", url);
      Deno.env.set(name, value);
      assertEquals(await keyOf(`${url}/`), "sb_secret_x", name);
      assertEquals(await keyOf("https://other.test"), undefined, name);
    }
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
});

Deno.test("a client that was made for another schema finds the ledger's functions where they are", async () => {
  for (const schema of ["api", "public"]) {
    const asked: (string | null)[] = [];
    const client = createClient("https://project.test", "sb_secret_x", {
      db: { schema },
      global: {
        fetch: (_url, init) => {
          const headers = new Headers(init?.headers);
          asked.push(headers.get("content-profile"), headers.get("apikey"));
          return Promise.resolve(Response.json([]));
        },
      },
    });
    for (const one of [client, client.schema(schema)]) {
      assertEquals(await supabaseLedger(one).read(IDENTITY), null);
    }
    const once = ["public", "sb_secret_x"];
    assertEquals(asked, [...once, ...once]);
  }
});

Deno.test("a batch is answered whole where the Data API gives fewer rows than a batch has", async () => {
  const asked: string[] = [];
  const ledger = supabaseLedger({
    rpc(fn, args) {
      const { p_requests, p_settlements } = args as Record<
        string,
        { key: string }[] | undefined
      >;
      const items = p_requests ?? p_settlements ?? [];
      asked.push(`${fn} ${items.length}`);
      const data = items.slice(0, 40).map(({ key }) =>
        p_requests
          ? { outcome: "claimed", attempt: 1, fence: Number(key), steps: null }
          : Number(key) % 2
          ? { outcome: "completed" }
          : { outcome: "gone" }
      );
      const answer = { data, error: null, status: 200 };
      const call: LedgerCall = Object.assign(Promise.resolve(answer), {
        abortSignal: () => call,
      });
      return call;
    },
  });
  const keys = Array.from({ length: 100 }, (_, n) => String(n));
  const ownerToken = crypto.randomUUID();
  const claimed = await ledger.claimMany!(
    null,
    "orders",
    keys.map((key) => ({ key, fingerprint: "", ownerToken, metadata: null })),
    { leaseSeconds: 9, ttlSeconds: 9, onAbandoned: "retry", maxAttempts: 5 },
  );
  assertEquals(claimed.map((one) => "fence" in one && `${one.fence}`), keys);
  const answer = { status: 200, headers: {}, body: null };
  const settled = await ledger.settleMany!(
    null,
    "orders",
    keys.map((key) => ({ key, ownerToken, answer })),
    { completed: 9, failed: 9 },
  );
  assertEquals(
    settled.map(({ outcome }) => outcome),
    keys.map((key) => Number(key) % 2 ? "recorded" : "gone"),
  );
  assertEquals(
    asked,
    ["claim", "settle"].flatMap((what) =>
      [100, 60, 20].map((count) => `idempotency_${what}_many ${count}`)
    ),
  );
});
