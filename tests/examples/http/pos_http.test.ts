import { assert, assertEquals } from "@std/assert";
import pointOfSale from "../../../functions/pos/index.ts";
import reserveGpu from "../../../functions/reserve-gpu/index.ts";
import { call } from "../../support/call.ts";
import { unique } from "../../support/probe.ts";
import {
  addProduct,
  fill,
  type Lines,
  openShop,
  saleOf,
  sell,
  type Shop,
  stockOf,
} from "../../support/shop.ts";
import {
  type Actor,
  anonymous,
  signUp,
  withStack,
} from "../../support/stack.ts";

const stack = withStack();
const ORIGIN = "https://shop.example";
const ID = "00000000-0000-4000-8000-000000000000";
const WRITES = [
  "pos/sales",
  `pos/sales/${ID}/refund`,
  `pos/purchases/receipts/${ID}/approve`,
  `pos/transfers/${ID}/send`,
  `pos/transfers/${ID}/receive`,
  `pos/purchases/returns/${ID}/approve`,
  `pos/inventory/corrections/${ID}/approve`,
  `pos/locations/${ID}/counts`,
  `pos/businesses/${ID}/registration`,
];
const READS = [`pos/sales/${ID}`, `pos/locations/${ID}/stock`];

let ada: Actor & { userId: string };
let shop: Shop;

Deno.test.beforeAll(async () => {
  ada = await signUp(stack());
  shop = await openShop(ada);
});

const get = (path: string, actor: Actor = ada) =>
  call(stack(), actor, path, { method: "GET" });

Deno.test("the preflight of every route lets the key headers in", async () => {
  for (const path of [...WRITES, ...READS]) {
    const response = await fetch(`${stack().apiUrl}/functions/v1/${path}`, {
      method: "OPTIONS",
      headers: {
        Origin: ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "idempotency-key,x-idempotency-key",
      },
    });
    await response.body?.cancel();
    assertEquals(response.status, 204);
    assertEquals(response.headers.get("access-control-allow-origin"), "*");
    const allowed = response.headers.get("access-control-allow-headers") ?? "";
    for (const name of ["authorization", "apikey", "idempotency-key"]) {
      assert(allowed.includes(name), `${name} is not allowed on ${path}`);
    }
  }
});

Deno.test("answer, replay and refusal can be read from another origin", async () => {
  const tea = await addProduct(shop);
  await fill(stack(), shop, [[tea, 5]]);
  const key = unique("key");
  const answers = [
    await sell(stack(), shop, [[tea, 1]], key),
    await sell(stack(), shop, [[tea, 1]], key),
    await sell(stack(), shop, [[tea, 2]], key),
    await sell(stack(), shop, [[crypto.randomUUID(), 2]], unique("key")),
    await get(`pos/locations/${shop.counter}/stock`),
    await get("pos/nothing"),
  ];
  assertEquals(answers.map(({ status }) => status), [
    201,
    201,
    422,
    404,
    200,
    404,
  ]);
  for (const { headers } of answers) {
    assertEquals(headers.get("access-control-allow-origin"), "*");
    const exposed = headers.get("access-control-expose-headers") ?? "";
    assert(exposed.toLowerCase().includes("x-idempotency-replay"));
  }
});

Deno.test("who is not signed in gets 401 from every route", async () => {
  const nobody = anonymous(stack());
  for (const path of WRITES) {
    assertEquals((await call(stack(), nobody, path, { body: {} })).status, 401);
  }
  for (const path of READS) assertEquals((await get(path, nobody)).status, 401);
});

Deno.test("without the gateway in front, the function itself refuses, as the others do", async () => {
  const post = () => new Request("http://x/pos/sales", { method: "POST" });
  const [ours, theirs] = [
    await pointOfSale.fetch(post()),
    await reserveGpu.fetch(post()),
  ];
  assertEquals(ours.status, 401);
  assertEquals(ours.headers.get("access-control-allow-origin"), "*");
  for (const name of ["content-type", "x-supabase-server-error"]) {
    assertEquals(ours.headers.get(name), theirs.headers.get(name), name);
  }
  assertEquals(await ours.json(), await theirs.json());
});

Deno.test("a route takes its method and says which", async () => {
  for (const path of WRITES) {
    const { status, body, headers } = await call(stack(), ada, path, {
      method: "PUT",
      body: {},
    });
    assertEquals([status, body.code], [405, "METHOD_NOT_ALLOWED"]);
    assertEquals(headers.get("allow"), "POST, OPTIONS");
  }
  for (const path of READS) {
    const { status, headers } = await call(stack(), ada, path, { body: {} });
    assertEquals([status, headers.get("allow")], [405, "GET, HEAD, OPTIONS"]);
  }
});

Deno.test("a path that is no route is a problem document that says so", async () => {
  for (const path of ["pos", "pos/nothing", `pos/sales/${ID}/refund/again`]) {
    const { status, body, headers } = await get(path);
    assertEquals([status, body.code, body.instance], [
      404,
      "ROUTE_NOT_FOUND",
      `/${path}`,
    ]);
    assertEquals(headers.get("content-type"), "application/problem+json");
  }
});

Deno.test("an id that is none is refused before anything is looked up", async () => {
  const key = unique("key");
  const answers = [
    ...await Promise.all(
      WRITES.slice(1).map((path) =>
        call(stack(), ada, path.replace(ID, "17"), { body: {}, key })
      ),
    ),
    ...await Promise.all(READS.map((path) => get(path.replace(ID, "17")))),
  ];
  assertEquals(
    answers.map(({ status, body }) => [status, body.code]),
    Array(WRITES.length + 1).fill([400, "REQUEST_INVALID"]),
  );
});

Deno.test("every route that writes needs a key, whatever the environment says, and without one nothing is done", async () => {
  const tea = await addProduct(shop);
  await fill(stack(), shop, [[tea, 9]]);
  Deno.env.set("IDEMPOTENCY_ENFORCEMENT", "optional");
  try {
    for (const path of WRITES) {
      const { status, body } = await call(stack(), ada, path, {
        body: saleOf(shop.counter, [[tea, 1]]),
      });
      assertEquals([status, body.code], [400, "IDEMPOTENCY_KEY_MISSING"]);
    }
  } finally {
    Deno.env.delete("IDEMPOTENCY_ENFORCEMENT");
  }
  assertEquals(await stockOf(shop, shop.counter, tea), 9);
});

Deno.test("a replay says so in the words of older tills too, also to pages on another origin", async () => {
  const tea = await addProduct(shop);
  await fill(stack(), shop, [[tea, 9]]);
  const key = unique("key");
  const first = await sell(stack(), shop, [[tea, 1]], key);
  assertEquals(first.headers.get("x-idempotent-replay"), null);
  const { headers } = await sell(stack(), shop, [[tea, 1]], key);
  for (const name of ["x-idempotency-replay", "x-idempotent-replay"]) {
    assertEquals(headers.get(name), "true");
    const exposed = headers.get("access-control-expose-headers") ?? "";
    assert(exposed.toLowerCase().includes(name), exposed);
  }
});

Deno.test("who holds too many keys is told so, as where there is a middleware", async () => {
  const eve = await signUp(stack());
  await stack().sql(
    `with full_owner as (insert into idempotency.full_owners values ($1))
     insert into public.idempotency_keys (
       owner, scope, idempotency_key, request_fingerprint, owner_token,
       lease_expires_at, expires_at
     )
     select $1, 's', 'key-' || i, repeat('a', 64), gen_random_uuid(),
       now() + interval '1 hour', now() + interval '1 hour'
     from generate_series(1, 10000) as i`,
    [eve.userId],
  );
  for (
    const [path, body] of [
      ["pos/sales", saleOf(shop.counter, [[ID, 1]])],
      ["reserve-gpu", { poolId: ID, hours: 1 }],
    ] as const
  ) {
    const answer = await call(stack(), eve, path, { body, key: unique("key") });
    assertEquals([answer.status, answer.body.code], [429, "TOO_MANY_KEYS"]);
  }
});

Deno.test("a malformed key is refused, and nothing is sold", async () => {
  const tea = await addProduct(shop);
  await fill(stack(), shop, [[tea, 5]]);
  const { status, body } = await sell(stack(), shop, [[tea, 1]], "a b");
  assertEquals([status, body.code], [400, "IDEMPOTENCY_KEY_INVALID"]);
  const left = await get(`pos/locations/${shop.counter}/stock?limit=500`);
  const row = left.body.stock.find((
    { productId }: { productId: string },
  ) => productId === tea);
  assertEquals(row.quantity, 5);
});

Deno.test("a body that is too large, or no JSON by its own word, is refused", async () => {
  const large = await call(stack(), ada, "pos/sales", {
    body: { ...saleOf(shop.counter, []), note: "x".repeat(270_000) },
    key: unique("key"),
  });
  assertEquals([large.status, large.body.code], [413, "REQUEST_TOO_LARGE"]);
  const response = await fetch(`${stack().apiUrl}/functions/v1/pos/sales`, {
    method: "POST",
    headers: {
      ...ada.headers,
      "Content-Type": "text/plain",
      "Idempotency-Key": unique("key"),
    },
    body: "{}",
  });
  assertEquals([response.status, (await response.json()).code], [
    415,
    "UNSUPPORTED_CONTENT_TYPE",
  ]);
});

Deno.test("the stock of a location comes a page at a time, and nobody else's at all", async () => {
  const other = await openShop(ada);
  const products = [];
  for (let n = 1; n <= 5; n++) {
    const productId = await addProduct(other);
    products.push({ productId, quantity: n });
  }
  await fill(
    stack(),
    other,
    products.map(({ productId, quantity }) => [productId, quantity]),
  );
  const stored: Lines = [[await addProduct(other), 9]];
  await fill(stack(), other, stored, other.warehouse);
  const path = `pos/locations/${other.counter}/stock`;
  const seen = [];
  let after = "";
  for (let pages = 0;; pages++) {
    const { body } = await get(`${path}?limit=2${after}`);
    seen.push(...body.stock);
    if (body.next === null) {
      assertEquals(pages, 2);
      break;
    }
    after = `&after=${body.next}`;
  }
  assertEquals(
    seen,
    products.toSorted((a, b) => a.productId < b.productId ? -1 : 1),
  );
  const eve = await signUp(stack());
  const { status, body } = await get(path, eve);
  assertEquals([status, body.code], [404, "LOCATION_NOT_FOUND"]);
  for (
    const query of [
      "limit=0",
      "limit=501",
      "limit=x",
      "limit=1&limit=2",
      "after=x",
    ]
  ) {
    assertEquals((await get(`${path}?${query}`)).status, 400, query);
  }
});
