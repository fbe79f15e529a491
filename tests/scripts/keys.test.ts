import {
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import postgres from "postgres";
import { runDeno } from "../../scripts/check/command.ts";
import { UsageError } from "../../scripts/cli/command.ts";
import { parseCommand } from "../../scripts/keys/command.ts";
import { atTerminal } from "../support/cli.ts";
import { probe, unique } from "../support/probe.ts";
import { findPostgres } from "../../scripts/cluster/postgres.ts";
import { type Actor, project, signUp, withStack } from "../support/stack.ts";
import { migratedCluster } from "../../scripts/cluster/supabase_cluster.ts";

const SCOPE = "probe";

const stack = withStack();
let ada: Actor & { userId: string };

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
});

async function keys(
  args: string[],
  env: Record<string, string> = {
    SUPABASE_URL: stack().apiUrl,
    SUPABASE_SECRET_KEY: stack().secretKey,
  },
) {
  const { code, stdout, stderr } = await runDeno(
    ["task", "--quiet", "keys", ...args],
    { env },
  );
  return { code, stdout: stdout.trim(), stderr: stderr.trim() };
}

// Nobody but the project itself writes the ledger.
const ledger = () => project(stack()).client;

/** Leaves a key behind as a crashed worker does: claimed, its lease over. */
async function abandon(
  { userId }: Pick<Actor, "userId"> = ada,
): Promise<{ key: string; ownerToken: string }> {
  const key = unique("order");
  const ownerToken = crypto.randomUUID();
  await ledger().rpc("idempotency_claim", {
    p_owner: userId ?? "",
    p_scope: SCOPE,
    p_idempotency_key: key,
    p_fingerprint: FINGERPRINT,
    p_owner_token: ownerToken,
    p_lease_seconds: 60,
    p_ttl_seconds: 3600,
  }).throwOnError();
  await stack().sql(
    `update public.idempotency_keys set lease_expires_at = now() - interval '1 minute'
     where idempotency_key = $1`,
    [key],
  );
  return { key, ownerToken };
}

const FINGERPRINT = "a".repeat(64);

const retry = (key: string) =>
  ledger().rpc("idempotency_claim", {
    p_owner: ada.userId,
    p_scope: SCOPE,
    p_idempotency_key: key,
    p_fingerprint: FINGERPRINT,
    p_owner_token: crypto.randomUUID(),
    p_lease_seconds: 60,
    p_ttl_seconds: 3600,
    p_on_abandoned: "refuse",
  }).throwOnError();

Deno.test("keys list shows an interrupted attempt with whose it is and what it did", async () => {
  const { key, ownerToken } = await abandon();
  await ledger().rpc("idempotency_checkpoint", {
    p_owner: ada.userId,
    p_scope: SCOPE,
    p_idempotency_key: key,
    p_owner_token: ownerToken,
    p_step: "charge",
    p_result: { id: "ch_1" },
    p_lease_seconds: 60,
  }).throwOnError();
  const live = await keys(["list"]);
  assertEquals(live.stdout.includes(key), false, "a live lease is not stuck");
  await stack().sql(
    `update public.idempotency_keys set lease_expires_at = now() - interval '1 minute'
     where idempotency_key = $1`,
    [key],
  );

  const { code, stdout } = await keys(["list"]);
  assertEquals(code, 0);
  const line = stdout.split("\n").find((line) => line.includes(key)) ?? "";
  for (const shown of [ada.userId, SCOPE, "charge"]) {
    assertStringIncludes(line, shown);
  }
  const listed = JSON.parse((await keys(["list", "--json"])).stdout)
    .find((found: { idempotency_key: string }) =>
      found.idempotency_key === key
    );
  assertEquals([listed.attempt, listed.steps], [1, { charge: { id: "ch_1" } }]);
});

Deno.test("keys list says that there may be more, where a program reads it too", async () => {
  await abandon();
  await abandon();
  const table = await keys(["list", "--limit", "1"]);
  assertMatch(table.stdout, /^the first 1; see --limit$/m);
  const json = await keys(["list", "--limit", "1", "--json"]);
  assertEquals(JSON.parse(json.stdout).length, 1);
  assertMatch(json.stderr, /the first 1; see --limit$/m);
  assertEquals((await keys(["list", "--json"])).stderr, "");
});

Deno.test("keys resolve --as completed gives retries the answer that the operator found", async () => {
  const { key } = await abandon();
  assertEquals((await retry(key)).data.outcome, "abandoned");
  const { code, stdout } = await keys([
    "resolve",
    key,
    ...["--scope", SCOPE, "--user", ada.userId],
    ...["--as", "completed", "--status", "201", "--body", '{"charge":"ch_1"}'],
    ...["--header", "Location: /charges/ch_1", "--note", "seen at the bank"],
  ]);
  assertEquals([code, stdout], [
    0,
    `"${key}" in ${SCOPE} is completed: retries get this answer`,
  ]);
  const { data } = await retry(key);
  assertEquals(
    [data.outcome, data.status_code, data.response],
    ["replay", 201, '{"charge":"ch_1"}'],
  );
  assertEquals(data.response_headers, {
    "content-type": "application/json",
    location: "/charges/ch_1",
  });
  const { data: [status] } = await ledger().rpc("get_idempotency_status", {
    p_idempotency_key: key,
    p_owner: ada.userId,
  }).throwOnError();
  const metadata = status!.metadata as Record<string, string>;
  assertEquals(
    [metadata["resolution"], metadata["note"]],
    ["completed", "seen at the bank"],
  );
});

Deno.test("keys resolve --as failed lets the next retry run", async () => {
  const { key } = await abandon();
  const { code, stdout } = await keys([
    "resolve",
    key,
    ...["--scope", SCOPE, "--user", ada.userId, "--as", "failed"],
  ]);
  assertEquals([code, stdout], [
    0,
    `"${key}" in ${SCOPE} has failed: the next retry runs`,
  ]);
  const { data } = await retry(key);
  assertEquals([data.outcome, data.attempt], ["claimed", 2]);
  const odd = await keys([
    ...["resolve", key, "--scope", "\x9b31m", "--as", "failed", "--dry-run"],
  ]);
  assertEquals(
    odd.stdout,
    `would say that "${key}" in \\u{9b}31m ended as failed`,
  );
});

Deno.test("keys resolve does not say that it recorded an answer for a key that has failed", async () => {
  const { key } = await abandon();
  const user = ["--scope", SCOPE, "--user", ada.userId];
  await keys(["resolve", key, ...user, "--as", "failed"]);
  const { code, stderr } = await keys([
    ...["resolve", key, ...user],
    ...["--as", "completed", "--status", "200", "--body", "done"],
  ]);
  assertEquals(code, 1);
  assertMatch(stderr, /has failed already: the next retry runs/);
});

Deno.test("keys resolve does not say that retries get an answer other than the one recorded before", async () => {
  const { key } = await abandon();
  const resolveWith = (body: string) =>
    keys([
      ...["resolve", key, "--scope", SCOPE, "--user", ada.userId],
      ...["--as", "completed", "--status", "201", "--body", body],
    ]);
  assertEquals((await resolveWith("first")).code, 0);
  assertEquals((await resolveWith("first")).code, 0);
  const second = await resolveWith("second");
  assertEquals([second.code, second.stdout], [1, ""]);
  assertMatch(second.stderr, /was completed already, with status 201/);
  assertEquals((await retry(key)).data.response, "first");
});

Deno.test("keys resolve answers the requests of a route that refuses to guess", async () => {
  const request = {
    key: unique("order"),
    config: { onAbandoned: "refuse" } as const,
    body: { effect: unique("effect") },
  };
  await (await probe(stack(), ada, request)).body?.cancel();
  await stack().sql(
    `update public.idempotency_keys
     set status = 'processing', status_code = null, completed_at = null, response = null,
       response_encoding = null, response_headers = null,
       lease_expires_at = now() - interval '1 minute'
     where idempotency_key = $1`,
    [request.key],
  );
  const refused = await probe(stack(), ada, request);
  assertEquals(
    [refused.status, (await refused.json()).code],
    [409, "OUTCOME_UNKNOWN"],
  );
  await keys([
    "resolve",
    request.key,
    ...["--scope", SCOPE, "--user", ada.userId],
    ...["--as", "completed", "--status", "200", "--body", "done by hand"],
  ]);
  const replay = await probe(stack(), ada, request);
  assertEquals([replay.status, await replay.text()], [200, "done by hand"]);
  assertEquals(replay.headers.get("x-idempotency-replay"), "true");
});

// Told nothing, a scheduler's call is meant; a person may still think better of it.
Deno.test("keys resolve asks whoever is at a terminal", async () => {
  const { key } = await abandon({ userId: null });
  const answered = async (answer: string) => {
    const { text } = await atTerminal(
      [
        ...["task", "--quiet", "keys", "resolve", key],
        ...["--scope", SCOPE, "--as", "failed"],
      ],
      `${answer}\n`,
      {
        SUPABASE_URL: stack().apiUrl,
        SUPABASE_SECRET_KEY: stack().secretKey,
      },
    );
    return text;
  };
  assertMatch(
    await answered("n"),
    /will say that .* ended as failed[^]*Do this/,
  );
  assertEquals((await keys(["list"])).stdout.includes(key), true);
  assertStringIncludes(await answered("y"), "has failed: the next retry runs");
});

Deno.test("keys resolve finds the project's own keys without --user", async () => {
  const { key } = await abandon(project(stack()));
  const args = ["resolve", key, "--scope", SCOPE, "--as", "failed"];
  assertEquals((await keys(args)).code, 0);
});

Deno.test("keys resolve says why it cannot resolve a key", async () => {
  const { key } = await abandon();
  const live = unique("order");
  await retry(live);
  const done = (await abandon()).key;
  const as = (key: string, ...more: string[]) =>
    keys(["resolve", key, "--scope", SCOPE, ...more]);
  const user = ["--user", ada.userId];
  await as(done, ...user, "--as", "failed");
  await retry(done);
  const cases: [Promise<{ code: number; stderr: string }>, RegExp][] = [
    [as(key, "--as", "failed"), /of the project itself; name the user.*--user/],
    [as(unique("none"), ...user, "--as", "failed"), /there is no key.*of user/],
    [as(live, ...user, "--as", "failed"), /at it until.*wait until its lease/],
    [as(done, ...user, "--as", "failed"), /at it until/],
  ];
  for (const [run, message] of cases) {
    const { code, stderr } = await run;
    assertEquals(code, 1);
    assertMatch(stderr, message);
    assertNotMatch(stderr, /Usage/);
  }
});

Deno.test("keys explains what it does not understand", async () => {
  const resolve = ["resolve", "order-1", "--scope", "s"];
  const completed = [...resolve, "--as", "completed"];
  const cases: [string[], RegExp][] = [
    [[], /say what to do: list or resolve/],
    [["lst"], /"lst" is not a command/],
    [["resolve", "--scope", "s"], /^name the key: resolve KEY --scope SCOPE/],
    [["resolve", "a", "b", "--scope", "s"], /^name one key, not a and b$/],
    [["list", "--limit", "0"], /--limit 0: expected a number from 1 to 1000/],
    [["list", "--scope", "s"], /--scope does not go with list/],
    [["list", "--bogus"], /--bogus/],
    [["resolve", "order-1"], /name the scope of "order-1" with --scope/],
    [resolve, /--as completed or --as failed/],
    [[...resolve, "--as", "done"], /--as done: expected completed or failed/],
    [completed, /needs the answer's --status/],
    [[...completed, "--status", "99"], /--status 99/],
    [[...completed, "--status", "200", "--header", "x"], /expected NAME:VALUE/],
    [
      [...completed, "--status", "200", "--header", "set-cookie: a=b"],
      /set-cookie belongs to one answer/,
    ],
    [[...resolve, "--as", "failed", "--body", "x"], /--body does not go with/],
    [[...resolve, "--user", "", "--as", "failed"], /--user.*empty/],
  ];
  for (const [args, message] of cases) {
    const error = assertThrows(() => parseCommand(args), UsageError);
    assertMatch(error.message, message);
  }
  const { code, stdout, stderr } = await keys(["lst"]);
  assertEquals([code, stdout], [2, ""]);
  assertMatch(stderr, /^keys: "lst" is not a command\nUsage:\n/);
});

Deno.test("keys resolve keeps each header that is given, and lets one name the body's type", () => {
  const headersOf = (...lines: string[]) => {
    const command = parseCommand([
      ...["resolve", "order-1", "--scope", "s", "--as", "completed"],
      ...["--status", "200", "--body", "{}"],
      ...lines.flatMap((line) => ["--header", line]),
    ]);
    return command.name === "resolve" && command.resolution.headers;
  };
  assertEquals(headersOf("Link: </a>; rel=next", "Link: </b>; rel=prev"), {
    "content-type": "application/json",
    link: "</a>; rel=next, </b>; rel=prev",
  });
  assertEquals(headersOf("Content-Type: application/ld+json"), {
    "content-type": "application/ld+json",
  });
});

Deno.test("keys says which variable is missing, and what the wrong key may not", async () => {
  const { apiUrl, publishableKey } = stack();
  const unset = await keys(["list"], {
    SUPABASE_URL: apiUrl,
    SUPABASE_SECRET_KEY: "",
  });
  assertEquals(unset.code, 2);
  assertMatch(unset.stderr, /SUPABASE_SECRET_KEY is not set/);
  const wrong = await keys(["list"], {
    SUPABASE_URL: apiUrl,
    SUPABASE_SECRET_KEY: publishableKey,
  });
  assertEquals(wrong.code, 1);
  assertMatch(wrong.stderr, /use the project's secret key/);
});

Deno.test({
  name: "keys does the same over a database URL",
  ignore: findPostgres() === null,
  async fn() {
    await using cluster = await migratedCluster();
    const sql = postgres(cluster.url, { max: 1 });
    const url = ["--database-url", cluster.url];
    try {
      assertEquals((await keys(["list", ...url], {})).stdout, "no stuck keys");
      await sql`select public.idempotency_claim('', 'jobs', 'job-1',
        ${FINGERPRINT}, gen_random_uuid(), 60, 3600)`;
      await sql`update public.idempotency_keys
        set lease_expires_at = now() - interval '1 minute'`;
      const listed = await keys(["list", ...url], {});
      assertMatch(listed.stdout, /\(project\).*jobs.*job-1/);
      const { code, stdout } = await keys([
        ...["resolve", "job-1", "--scope", "jobs", "--as", "completed"],
        ...["--status", "204", "--note", "done by hand", ...url],
      ], {});
      assertEquals(code, 0);
      assertMatch(stdout, /RESPONSE_NOT_STORED, because no --body was given/);
      const again = await keys([
        ...["resolve", "job-1", "--scope", "jobs", "--as", "failed", ...url],
      ], {});
      assertEquals(again.code, 1);
      assertMatch(again.stderr, /was completed already, with status 204/);
      await sql`select public.idempotency_claim('', 'jobs', 'job-2',
        ${FINGERPRINT}, gen_random_uuid(), 60, 3600)`;
      await sql`update public.idempotency_keys
        set lease_expires_at = now() - interval '1 minute'
        where idempotency_key = 'job-2'`;
      await keys([
        ...["resolve", "job-2", "--scope", "jobs", "--as", "completed"],
        ...["--status", "200", "--body", '{"done":true}', ...url],
      ], {});
      const [kept] = await sql`select response, response_headers
        from public.idempotency_keys where idempotency_key = 'job-2'`;
      assertEquals(kept, {
        response: '{"done":true}',
        response_headers: { "content-type": "application/json" },
      });
    } finally {
      await sql.end();
    }
  },
});
