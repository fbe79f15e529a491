import { assertEquals } from "@std/assert";
import openapi from "../../functions/crm/openapi.json" with { type: "json" };
import type { Stack } from "../../scripts/stack/stack.ts";
import { call, type CallAnswer } from "./call.ts";
import { unique } from "./probe.ts";
import {
  addProduct,
  draftCorrection,
  draftReceipt,
  draftReturn,
  draftTransfer,
  fill,
  openShop,
  REGISTRATION,
  saleOf,
  type Shop,
} from "./shop.ts";
import { type Actor, project, signUp } from "./stack.ts";

/** A route that writes and takes keys, as the OpenAPI document tells of it. */
export interface WriteRoute {
  method: string;
  /** Below `/functions/v1/`, with `{id}`. */
  path: string;
  status: number;
  takesBody: boolean;
  organizations: boolean;
  /** Bodies that are right but for what they refer to. */
  examples: Record<string, unknown>[];
  schema: Schema | undefined;
}

interface Schema {
  $ref?: string;
  properties?: Record<string, Schema>;
  anyOf?: Schema[];
  "x-references"?: string;
  "x-unique"?: boolean;
}

interface Operation {
  parameters?: { $ref?: string }[];
  requestBody?: {
    content: {
      "application/json"?: {
        schema: Schema;
        examples?: Record<string, { value: Record<string, unknown> }>;
      };
    };
  };
  responses: Record<string, unknown>;
  "x-idempotency"?: unknown;
}

type Path = Record<string, Operation> & { parameters?: { $ref?: string }[] };

const paths = openapi.paths as unknown as Record<string, Path>;
const schemas = openapi.components.schemas as Record<string, Schema>;

/** Every write route of every function that takes keys. */
export const writeRoutes: WriteRoute[] = Object.entries(paths).flatMap(
  ([path, { parameters = [], ...operations }]) =>
    Object.entries(operations as Record<string, Operation>)
      .filter(([, operation]) => operation["x-idempotency"] !== undefined)
      .map(([method, { requestBody, responses }]): WriteRoute => {
        const json = requestBody?.content["application/json"];
        const schema = json?.schema;
        return {
          method: method.toUpperCase(),
          path: path.slice(1),
          status: Number(Object.keys(responses)[0]),
          takesBody: requestBody !== undefined,
          organizations: parameters.some(({ $ref }) =>
            $ref === "#/components/parameters/Organization"
          ),
          examples: Object.values(json?.examples ?? {}).map(({ value }) =>
            value
          ),
          schema: schema?.$ref === undefined
            ? schema
            : schemas[schema.$ref.split("/").at(-1)!],
        };
      }),
);

/**
 * The write routes by what they are about, `crm/hotels` for instance, in an
 * order in which one row can go through them: created, changed, archived,
 * restored, and whatever else becomes of it.
 */
export function lives(): Map<string, WriteRoute[]> {
  const stage = ({ method, path }: WriteRoute) =>
    method === "DELETE"
      ? 1
      : path.endsWith("/restore")
      ? 2
      : path.endsWith("{id}") || !path.includes("{id}")
      ? 0
      : 3;
  const groups = Map.groupBy(
    writeRoutes,
    ({ path }) => path.split("/{id}")[0]!,
  );
  for (const routes of groups.values()) {
    routes.sort((a, b) => stage(a) - stage(b));
  }
  return groups;
}

/** One request of a route that takes effect. */
export interface Attempt {
  path: string;
  body?: unknown;
  /** Another body that would be right. */
  other?: unknown;
  /** What the body is, where it is not JSON. */
  type?: string;
}

type Prepare = (
  stack: Stack,
  actor: Actor,
) => Promise<Omit<Attempt, "path"> & { id?: string }>;

/**
 * Prepares a request of a route, with everything that it refers to.
 *
 * @param made What the first route of the same life made; made here when left out.
 */
export async function prepare(
  route: WriteRoute,
  stack: Stack,
  actor: Actor,
  made?: string,
): Promise<Attempt> {
  const name = `${route.method} ${route.path}`;
  const { id, ...attempt } = await (PREPARATIONS[name]?.(stack, actor) ??
    bodiesOf(route, stack, actor));
  const [first] = lives().get(route.path.split("/{id}")[0]!)!;
  if (
    (route.takesBody && attempt.body === undefined) ||
    (route === first && route.path.includes("{id}") && id === undefined)
  ) {
    throw new Error(
      `Cannot prepare ${name}: give it two examples in the document, or say in tests/support/write_routes.ts how it is done`,
    );
  }
  const path = route.path.includes("{id}")
    ? route.path.replace(
      "{id}",
      id ?? made ?? await create(first!, stack, actor),
    )
    : route.path;
  return { path, ...attempt };
}

async function create(
  route: WriteRoute,
  stack: Stack,
  actor: Actor,
): Promise<string> {
  const attempt = await prepare(route, stack, actor);
  const answer = await send(stack, actor, route, attempt, unique("made"));
  assertEquals(answer.status, route.status, JSON.stringify(answer.body));
  return madeBy(answer)!;
}

/** The id of what an answer says was made. */
export function madeBy({ body }: CallAnswer): string | undefined {
  return body.id ?? body.event?.id ?? body.saleId;
}

/** Two bodies of a route; what a route has no example of is a change of one field. */
async function bodiesOf(
  { examples, schema, path }: WriteRoute,
  stack: Stack,
  actor: Actor,
): Promise<Pick<Attempt, "body" | "other"> & { id?: never }> {
  const fields = schema?.properties ?? {};
  if (examples.length < 2) {
    const whole = writeRoutes.find((route) =>
      route.path === path.split("/{id}")[0] && route.method === "POST"
    );
    const [field, value] =
      Object.entries(whole?.examples[0] ?? {}).find(([name]) =>
        name in fields && !isReference(fields[name]!) &&
        !isUnique(fields[name]!)
      ) ?? [];
    if (field === undefined) return {};
    return {
      body: { [field]: value },
      other: { [field]: whole!.examples[1]![field] },
    };
  }
  return {
    body: await filledIn(examples[0]!, fields, stack, actor),
    other: await filledIn(examples[1]!, fields, stack, actor),
  };
}

const referred = new WeakMap<Actor, Map<string, string>>();

async function filledIn(
  example: Record<string, unknown>,
  fields: Record<string, Schema>,
  stack: Stack,
  actor: Actor,
): Promise<Record<string, unknown>> {
  const body = { ...example };
  for (const [name, value] of Object.entries(example)) {
    const schema = fields[name];
    if (schema === undefined) continue;
    const target = isReference(schema);
    if (target !== undefined) {
      const known = referred.get(actor) ?? new Map<string, string>();
      referred.set(actor, known);
      const creating = writeRoutes.find(({ path, method }) =>
        path === `crm/${target}` && method === "POST"
      )!;
      if (!known.has(target)) {
        known.set(target, await create(creating, stack, actor));
      }
      body[name] = known.get(target);
    } else if (isUnique(schema)) {
      body[name] = `${value}`.slice(0, 3) + crypto.randomUUID().slice(0, 13);
    }
  }
  return body;
}

function isReference(schema: Schema): string | undefined {
  return schema["x-references"] ??
    schema.anyOf?.find((one) => one["x-references"])?.["x-references"];
}

function isUnique(schema: Schema): boolean {
  return schema["x-unique"] === true ||
    (schema.anyOf ?? []).some((one) => one["x-unique"]);
}

const documentOf = async ({ client }: Actor, content: string) => {
  const { data } = await client.from("documents")
    .insert({ title: "Guide", mime_type: "text/markdown", content })
    .select("id").single().throwOnError();
  return data.id;
};

const GUIDE = await Deno.readTextFile(
  new URL("../fixtures/guide.md", import.meta.url),
);

async function processed(stack: Stack, actor: Actor): Promise<string> {
  const documentId = await documentOf(actor, GUIDE);
  const { status } = await call(stack, actor, "process-document", {
    body: { documentId },
    key: unique("document"),
  });
  assertEquals(status, 200);
  return documentId;
}

async function dataset(stack: Stack, actor: Actor): Promise<string> {
  const { body } = await call(stack, actor, "generate-training-data", {
    body: { documentIds: [await processed(stack, actor)] },
  });
  return body.datasetId;
}

const shops = new WeakMap<Actor, Promise<{ shop: Shop; product: string }>>();

/** The shop of an actor, with a thousand pieces of one product. */
function shopOf(stack: Stack, actor: Actor) {
  const open = async () => {
    const shop = await openShop(actor);
    const product = await addProduct(shop);
    await fill(stack, shop, [[product, 1_000]]);
    return { shop, product };
  };
  const opened = shops.get(actor) ?? open();
  shops.set(actor, opened);
  return opened;
}

const colleagues = new WeakMap<Stack, Promise<Actor>>();

/** Somebody who can be recognised. */
function colleagueOf(stack: Stack): Promise<Actor> {
  const found = colleagues.get(stack) ?? signUp(stack);
  colleagues.set(stack, found);
  return found;
}

async function addressOf({ client }: Actor): Promise<string> {
  const { data } = await client.rpc("my_recognition_address").throwOnError();
  return data!;
}

const THANKS = { message: "It works", category: "teamwork", points: 5 };

// No count is what was counted before, so each is a difference to book.
let counted = 0;

// Routes whose requests need more than an example: what they are about.
const PREPARATIONS: Record<string, Prepare> = {
  "PATCH events/{id}": () =>
    Promise.resolve({
      body: { version: 1, title: "Garden party" },
      other: { version: 1, title: "Winter party" },
    }),
  "POST generate-training-data": async (stack, actor) => {
    const documentIds = [await processed(stack, actor)];
    return {
      body: { documentIds },
      other: { documentIds, format: "completion" },
    };
  },
  "POST pos/businesses/{id}/registration": async (stack, actor) => {
    const { shop } = await shopOf(stack, actor);
    return {
      id: shop.businessId,
      body: REGISTRATION,
      other: { ...REGISTRATION, branchCode: "00001" },
    };
  },
  "POST pos/sales": async (stack, actor) => {
    const { shop, product } = await shopOf(stack, actor);
    return {
      body: saleOf(shop.counter, [[product, 1]]),
      other: saleOf(shop.counter, [[product, 2]]),
    };
  },
  "POST pos/sales/{id}/refund": async (stack, actor) => {
    const { product } = await shopOf(stack, actor);
    return {
      body: { lines: [{ productId: product, quantity: 1 }] },
      other: { lines: [{ productId: product, quantity: 2 }] },
    };
  },
  "POST pos/purchases/receipts/{id}/approve": async (stack, actor) => {
    const { shop, product } = await shopOf(stack, actor);
    const id = await draftReceipt(shop, [[product, 1]]);
    return { id };
  },
  "POST pos/purchases/returns/{id}/approve": async (stack, actor) => {
    const { shop, product } = await shopOf(stack, actor);
    const id = await draftReturn(shop, [[product, 1]]);
    return { id };
  },
  "POST pos/inventory/corrections/{id}/approve": async (stack, actor) => {
    const { shop, product } = await shopOf(stack, actor);
    const id = await draftCorrection(shop, [[product, -1]]);
    return { id };
  },
  "POST pos/locations/{id}/counts": async (stack, actor) => {
    const { shop, product } = await shopOf(stack, actor);
    const { data } = await actor.client.from("products").select("sku")
      .eq("id", product).single().throwOnError();
    const counts = [1, 2].map(() =>
      `sku,counted\n${data.sku},${2_000 + counted++}\n`
    );
    return {
      id: shop.counter,
      body: counts[0],
      other: counts[1],
      type: "text/csv",
    };
  },
  "POST pos/transfers/{id}/send": async (stack, actor) => {
    const { shop, product } = await shopOf(stack, actor);
    const id = await draftTransfer(shop, [[product, 1]]);
    return { id };
  },
  "POST pos/transfers/{id}/receive": async (stack, actor) => {
    const { shop, product } = await shopOf(stack, actor);
    const id = await draftTransfer(shop, [[product, 1]]);
    const sent = await call(stack, actor, `pos/transfers/${id}/send`, {
      key: unique("send"),
    });
    assertEquals(sent.status, 200);
    return { id };
  },
  "PATCH quotations/{id}/status": () =>
    Promise.resolve({
      body: { status: "accepted" },
      other: { status: "declined" },
    }),
  "POST process-document": async (_stack, actor) => ({
    body: { documentId: await documentOf(actor, GUIDE) },
    other: { documentId: await documentOf(actor, GUIDE) },
  }),
  "POST recognitions": async (stack) => {
    const recipientAddress = await addressOf(await colleagueOf(stack));
    const body = { ...THANKS, recipientAddress };
    return { body, other: { ...body, points: 6 } };
  },
  "POST recognitions/{id}/shares": async (stack, actor) => {
    const recipientAddress = await addressOf(actor);
    const colleague = await colleagueOf(stack);
    const { body } = await call(stack, colleague, "recognitions", {
      body: { ...THANKS, recipientAddress },
      key: unique("recognition"),
    });
    const shared = { recipientAddress: await addressOf(await signUp(stack)) };
    return {
      id: body.recognitionId,
      body: shared,
      other: { ...shared, evidenceWeight: 0.5 },
    };
  },
  "POST reserve-gpu": async (stack) => {
    const { data } = await project(stack).client.from("gpu_pools")
      .insert({ name: unique("pool"), hours_free: 100 })
      .select("id").single().throwOnError();
    return {
      body: { poolId: data.id, hours: 1 },
      other: { poolId: data.id, hours: 2 },
    };
  },
  "POST start-training": async (stack, actor) => {
    const datasetId = await dataset(stack, actor);
    return {
      body: { datasetId, model: "gpt-4o-mini" },
      other: { datasetId, model: "gpt-4o" },
    };
  },
};

/** Sends a request of a route. */
export function send(
  stack: Stack,
  actor: Actor,
  { method, takesBody }: WriteRoute,
  { path, body, type }: Attempt,
  key?: string,
  headers: Record<string, string> = {},
): Promise<CallAnswer> {
  return call(stack, actor, path, {
    method,
    headers: {
      ...(type === undefined ? {} : { "Content-Type": type }),
      ...headers,
    },
    ...(takesBody ? { body } : {}),
    ...(key === undefined ? {} : { key }),
  });
}
