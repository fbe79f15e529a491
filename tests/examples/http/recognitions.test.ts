import { assert, assertEquals } from "@std/assert";
import { assertHeadIsGet, call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  type Actor,
  anonymous,
  project,
  signUp,
  withStack,
} from "../../support/stack.ts";

const FUNCTION = "recognitions";

type User = Actor & { userId: string };

const stack = withStack();
let ada: User;
let ben: User;
let eve: User;
let toBen: {
  recipientAddress: string;
  message: string;
  category: string;
  points: number;
};

Deno.test.beforeAll(async () => {
  [ada, ben, eve] = await Promise.all([
    signUp(stack()),
    signUp(stack()),
    signUp(stack()),
  ]);
  toBen = {
    recipientAddress: await addressOf(ben),
    message: "You stayed until it worked",
    category: "teamwork",
    points: 5,
  };
});

async function addressOf({ client }: Actor): Promise<string> {
  const { data } = await client.rpc("my_recognition_address").throwOnError();
  return data!;
}

const list = (actor: Actor, query = "") =>
  call(stack(), actor, `${FUNCTION}${query}`, { method: "GET" });

async function sentBy(actor: Actor): Promise<number> {
  const { body } = await list(actor, "?direction=sent&limit=100");
  return body.recognitions.length;
}

Deno.test("a recognition is recorded and answered with 201, stored", async () => {
  const answer = await call(stack(), ada, FUNCTION, {
    body: toBen,
    key: unique("key"),
  });
  assertEquals([answer.status, answer.replayed], [201, false]);
  assertEquals(answer.headers.get("x-idempotency-stored"), "true");
  const { recognitionId, createdAt, ...rest } = answer.body;
  assertEquals(rest, {
    senderId: ada.userId,
    recipientId: ben.userId,
    message: "You stayed until it worked",
    category: "teamwork",
    points: 5,
    tags: [],
  });
  for (
    const [actor, direction] of [[ada, "sent"], [ben, "received"]] as const
  ) {
    const { body } = await list(actor, `?direction=${direction}&limit=1`);
    assertEquals(body.recognitions, [answer.body]);
  }
  assert(recognitionId !== undefined && createdAt !== undefined);
});

Deno.test("twenty calls with one key make one recognition", async () => {
  const before = await sentBy(ada);
  const keyed = { body: toBen, key: unique("key") };
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => call(stack(), ada, FUNCTION, keyed)),
  );
  const { body, replayed } = await call(stack(), ada, FUNCTION, keyed);
  assert(replayed);
  for (const answer of answers) {
    assert([201, 409].includes(answer.status), `got ${answer.status}`);
    if (answer.status === 201) assertEquals(answer.body, body);
  }
  assertEquals(await sentBy(ada) - before, 1);
});

Deno.test("an attempt after one that died with its recognition recorded finds it", async () => {
  const key = unique("key");
  const first = await call(stack(), ada, FUNCTION, { body: toBen, key });
  // As if the worker had been killed before it recorded its answer.
  await stack().sql(
    `update public.idempotency_keys
     set status = 'failed', status_code = null, response = null,
       response_encoding = null, response_headers = null
     where idempotency_key = $1`,
    [key],
  );
  const before = await sentBy(ada);
  const again = await call(stack(), ada, FUNCTION, { body: toBen, key });
  assertEquals([again.status, again.replayed], [201, false]);
  assertEquals(again.body, first.body);
  assertEquals(await sentBy(ada), before);
});

Deno.test("without a key each call is a recognition of its own", async () => {
  const before = await sentBy(ada);
  await call(stack(), ada, FUNCTION, { body: toBen });
  await call(stack(), ada, FUNCTION, { body: toBen });
  assertEquals(await sentBy(ada) - before, 2);
});

Deno.test("an address that nobody has is 404, and not for good", async () => {
  const request = {
    body: { ...toBen, recipientAddress: crypto.randomUUID() },
    key: unique("key"),
  };
  for (let attempt = 1; attempt <= 2; attempt++) {
    const refused = await call(stack(), ada, FUNCTION, request);
    assertEquals(
      [refused.status, refused.body.code, refused.replayed],
      [404, "RECIPIENT_NOT_FOUND", false],
    );
    assertEquals(refused.headers.get("x-idempotency-stored"), null);
  }
});

Deno.test("neither a user id nor an e-mail address finds a recipient", async () => {
  for (
    const [recipientAddress, status] of [
      [ben.userId, 404],
      ["ben@example.com", 400],
    ] as const
  ) {
    const answer = await call(stack(), ada, FUNCTION, {
      body: { ...toBen, recipientAddress },
    });
    assertEquals(answer.status, status);
  }
});

Deno.test("one's own address is refused, and nothing recorded", async () => {
  const before = await sentBy(ada);
  const body = { ...toBen, recipientAddress: await addressOf(ada) };
  const answer = await call(stack(), ada, FUNCTION, { body });
  assertEquals([answer.status, answer.body.code], [
    422,
    "RECOGNITION_OF_ONESELF",
  ]);
  assertEquals(await sentBy(ada), before);
});

Deno.test("an address stays the same until its owner renews it, and is void then", async () => {
  const old = await addressOf(eve);
  assertEquals(await addressOf(eve), old);
  await eve.client.from("recognition_addresses").delete().eq(
    "user_id",
    eve.userId,
  ).throwOnError();
  const renewed = await addressOf(eve);
  assert(renewed !== old);
  const [gone, found] = await Promise.all(
    [old, renewed].map((recipientAddress) =>
      call(stack(), ada, FUNCTION, { body: { ...toBen, recipientAddress } })
    ),
  );
  assertEquals([gone!.status, found!.status], [404, 201]);
});

Deno.test("a malformed recognition is refused, and nothing recorded", async () => {
  const before = await sentBy(ada);
  for (
    const change of [
      { message: " " },
      { message: "m".repeat(1001) },
      { message: "a\u0000b" },
      { message: "a\ud800b" },
      { category: "kindness" },
      { points: 0 },
      { points: 101 },
      { points: 1.5 },
      { points: "5" },
      { recipientAddress: undefined },
      { recipientId: ben.userId },
      { reason: "another" },
      { message: undefined },
      { category: undefined },
      { points: undefined },
      { tags: ["t".repeat(41)] },
      { tags: Array.from({ length: 11 }, () => "t") },
      { tags: [" "] },
    ]
  ) {
    const answer = await call(stack(), ada, FUNCTION, {
      body: { ...toBen, ...change },
      key: unique("key"),
    });
    assertEquals([answer.status, answer.body.code], [400, "REQUEST_INVALID"]);
  }
  assertEquals(await sentBy(ada), before);
});

Deno.test("a list is bounded, the newest first, and goes on before a moment", async () => {
  const [dan, gil] = await Promise.all([signUp(stack()), signUp(stack())]);
  const recipientAddress = await addressOf(gil);
  for (const points of [1, 2, 3]) {
    await call(stack(), dan, FUNCTION, {
      body: { ...toBen, recipientAddress, points },
    });
  }
  const newest = await list(gil, "?limit=2");
  assertEquals(
    newest.body.recognitions.map(({ points }: { points: number }) => points),
    [3, 2],
  );
  assertEquals(newest.headers.get("cache-control"), "no-store");
  const before = encodeURIComponent(newest.body.recognitions[1].createdAt);
  const rest = await list(gil, `?before=${before}`);
  assertEquals(
    rest.body.recognitions.map(({ points }: { points: number }) => points),
    [1],
  );
  assertEquals((await list(gil, "?direction=sent")).body.recognitions, []);
  await assertHeadIsGet(stack(), gil, `${FUNCTION}?limit=2`);
});

Deno.test("a malformed query is refused", async () => {
  for (
    const query of [
      "?limit=0",
      "?limit=101",
      "?limit=x",
      "?limit=1&limit=2",
      "?direction=both",
      "?before=yesterday",
      "?before=0000-01-01T00:00:00Z",
      "?before=2026-01-01T00:00:00%2B23:59",
    ]
  ) {
    const { status, body } = await list(ada, query);
    assertEquals([status, body.code], [400, "REQUEST_INVALID"], query);
  }
});

Deno.test("other methods are refused, and so is whoever is not signed in", async () => {
  const { status, body } = await call(stack(), ada, FUNCTION, {
    method: "DELETE",
  });
  assertEquals([status, body.code], [405, "METHOD_NOT_ALLOWED"]);
  const stranger = await call(stack(), anonymous(stack()), FUNCTION, {
    body: toBen,
  });
  assertEquals(stranger.status, 401);
});

Deno.test("only sender and recipient see a recognition, and nobody another's address", async () => {
  const { body } = await call(stack(), ada, FUNCTION, { body: toBen });
  const seenBy = async ({ client }: Actor) => {
    const { data } = await client.from("recognitions").select("id")
      .eq("id", body.recognitionId);
    return data?.length ?? null;
  };
  assertEquals(
    await Promise.all([ada, ben, eve, anonymous(stack())].map(seenBy)),
    [1, 1, 0, null],
  );
  const { data } = await ada.client.from("recognition_addresses")
    .select("user_id").throwOnError();
  assertEquals(data.filter(({ user_id }) => user_id !== ada.userId), []);

  const cal = await signUp(stack());
  const { data: cals } = await cal.client.rpc("my_recognition_address")
    .throwOnError();
  const path = `${FUNCTION}/${body.recognitionId}/shares`;
  const shared = await call(stack(), ben, path, {
    body: { recipientAddress: cals },
  });
  assertEquals(shared.status, 201);
  const rows = await Promise.all([
    cal.client.from("recognitions").select().eq("id", body.recognitionId)
      .single().throwOnError(),
    ben.client.from("recognition_shares").select().eq(
      "recognition_id",
      body.recognitionId,
    ).single().throwOnError(),
  ]);
  const text = JSON.stringify(rows.map(({ data }) => data));
  for (const address of [toBen.recipientAddress, cals]) {
    assertEquals(text.includes(address), false);
  }
});

Deno.test("the API lets nobody send in another's name, choose an address, or change what was sent", async () => {
  const { client } = ada;
  const row = {
    request_id: unique("request"),
    recipient_address: toBen.recipientAddress,
    message: "m",
    category: "craft",
    points: 1,
  };
  const forbidden = await Promise.all([
    client.from("recognitions").insert({
      ...row,
      recipient_id: ben.userId,
      sender_id: eve.userId,
    }),
    client.from("recognitions").insert({ ...row, recipient_id: eve.userId }),
    client.from("recognitions").update({ points: 100 }).eq(
      "sender_id",
      ada.userId,
    ),
    client.from("recognitions").delete().eq("sender_id", ada.userId),
    client.from("recognition_addresses").insert({
      address: crypto.randomUUID(),
    }),
    client.from("recognition_addresses").insert({ user_id: eve.userId }),
  ]);
  assertEquals(
    forbidden.map(({ error }) => error?.code),
    ["42501", "42501", "42501", "42501", "42501", "42501"],
  );
});

Deno.test("a recipient's id, a reason and tags are taken as well, for whoever takes recognitions", async () => {
  const body = {
    recipientId: ben.userId,
    reason: "You stayed until it worked",
    tags: ["teamwork", "calm"],
  };
  const keyed = { body, key: unique("key") };
  const answers = await Promise.all(
    [1, 2, 3].map(() => call(stack(), ada, FUNCTION, keyed)),
  );
  const { recognitionId, createdAt: _, ...rest } =
    answers.find(({ status }) => status === 201)!.body;
  assertEquals(rest, {
    senderId: ada.userId,
    recipientId: ben.userId,
    message: "You stayed until it worked",
    category: null,
    points: 1,
    tags: ["teamwork", "calm"],
  });
  const { body: { recognitions } } = await list(ben, "?limit=2");
  assertEquals(recognitions[0].recognitionId, recognitionId);
  assert(recognitions[1]?.recognitionId !== recognitionId);

  const shy = await signUp(stack());
  const refused = await call(stack(), ada, FUNCTION, {
    body: { ...body, recipientId: shy.userId },
  });
  assertEquals([refused.status, refused.body.code], [
    404,
    "RECIPIENT_NOT_FOUND",
  ]);
  await addressOf(shy);
  const { status } = await call(stack(), ada, FUNCTION, {
    body: { ...body, recipientId: shy.userId },
  });
  assertEquals(status, 201);
});

Deno.test("who received a recognition shares it once, with a weight as evidence, and whoever it was shared with sees it", async () => {
  const [fay, gus] = await Promise.all([signUp(stack()), signUp(stack())]);
  const { body: { recognitionId } } = await call(stack(), ada, FUNCTION, {
    body: toBen,
  });
  const path = `${FUNCTION}/${recognitionId}/shares`;
  const request = {
    body: { recipientAddress: await addressOf(fay), evidenceWeight: 0.57 },
    key: unique("key"),
  };
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => call(stack(), ben, path, request)),
  );
  for (const { status } of answers) assert([201, 409].includes(status));
  const replay = await call(stack(), ben, path, request);
  assertEquals([replay.status, replay.replayed], [201, true]);
  const { sharedAt: _, ...share } = replay.body;
  assertEquals(share, {
    recognitionId,
    sharedById: ben.userId,
    sharedWithId: fay.userId,
    evidenceWeight: 0.57,
  });

  const { body } = await list(fay, "?direction=shared");
  assertEquals(body.evidence, 2.85);
  assertEquals(
    body.recognitions.map((
      { message, share }: {
        message: string;
        share: { evidenceWeight: number };
      },
    ) => [message, share.evidenceWeight]),
    [[toBen.message, 0.57]],
  );
  assertEquals((await list(gus, "?direction=shared")).body, {
    recognitions: [],
    evidence: 0,
  });
  const bens: { recognitionId: string }[] =
    (await list(ben, "?direction=shared")).body.recognitions;
  assert(bens.every(({ recognitionId: id }) => id !== recognitionId));

  const again = await call(stack(), ben, path, {
    body: { recipientId: fay.userId },
  });
  assertEquals([again.status, again.body.code], [
    409,
    "RECOGNITION_SHARED_ALREADY",
  ]);
  await ben.client.from("recognition_shares").delete()
    .eq("recognition_id", recognitionId).throwOnError();
  assertEquals(
    (await list(fay, "?direction=shared")).body.recognitions,
    [],
  );
});

Deno.test("nobody else shares a recognition, and what is malformed is refused", async () => {
  const { body: { recognitionId } } = await call(stack(), ada, FUNCTION, {
    body: toBen,
  });
  const toEve = { recipientAddress: await addressOf(eve) };
  for (
    const [actor, id, body, status, code] of [
      [ada, recognitionId, toEve, 404, "RECOGNITION_NOT_FOUND"],
      [ben, crypto.randomUUID(), toEve, 404, "RECOGNITION_NOT_FOUND"],
      [ben, "7", toEve, 404, "RECOGNITION_NOT_FOUND"],
      [
        ben,
        recognitionId,
        { recipientId: ben.userId },
        422,
        "RECOGNITION_OF_ONESELF",
      ],
      [ben, recognitionId, {}, 400, "REQUEST_INVALID"],
      [
        ben,
        recognitionId,
        { ...toEve, evidenceWeight: 1.01 },
        400,
        "REQUEST_INVALID",
      ],
      [
        ben,
        recognitionId,
        { ...toEve, evidenceWeight: 0.005 },
        400,
        "REQUEST_INVALID",
      ],
    ] as const
  ) {
    const answer = await call(stack(), actor, `${FUNCTION}/${id}/shares`, {
      body,
    });
    assertEquals([answer.status, answer.body.code], [status, code]);
  }
  const { status } = await call(
    stack(),
    ben,
    `${FUNCTION}/${recognitionId}/shares`,
    { method: "DELETE" },
  );
  assertEquals(status, 405);
  assertEquals((await list(eve, "?direction=shared")).body.recognitions, []);
});

Deno.test("the project itself sees all recognitions", async () => {
  const { count } = await project(stack()).client.from("recognitions")
    .select("id", { count: "exact", head: true }).throwOnError();
  assert(count! > 0);
});
