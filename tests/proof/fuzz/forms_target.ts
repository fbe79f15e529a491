import { createClient } from "@supabase/supabase-js";
import {
  checkIdempotency,
  createIdempotencyKey,
  fingerprintRequest,
  getIdempotencyKey,
  type IdempotencyContext,
  type Ledger,
  memoryLedger,
  operationResponse,
  problemResponse,
  readIdempotencyKey,
  refusalResponse,
  storeIdempotencyResult,
  withIdempotency,
} from "../../../shared/idempotency.ts";
import { CONTEXT_MARK } from "../../support/middleware.ts";
import type { Tally, TrialLimits } from "../trial.ts";
import { askOddly } from "./ask.ts";
import { type FuzzedRoute, oddRequests } from "./requests.ts";

type Fetch = (req: Request) => Promise<Response>;

/** Who a request says it is from; what verifies that is no matter here. */
const userOf = (req: Request) => req.headers.get("x-user");

// There is a store, so nobody calls it. Each one made would stay in memory.
const unasked = createClient("http://127.0.0.1:9", "key");

/** A route in each form that the middleware has, and what is shared by all. */
export function formsOn(
  store: Ledger,
  ttlSeconds = 86_400,
): Readonly<Record<string, Fetch>> {
  const config = { store, onConcurrent: "wait", ttlSeconds } as const;
  const stage = withIdempotency(
    { ...config, scope: "stage" },
    (req: Request, ctx: { idempotency: IdempotencyContext }) =>
      work(req, ctx.idempotency),
  );
  return {
    stage: (req) => {
      const id = userOf(req);
      const upstream = {
        [CONTEXT_MARK]: true,
        supabaseAdmin: unasked,
        userClaims: id === null ? null : { id },
        authMode: "user",
      };
      return stage(req, upstream);
    },
    handler: withIdempotency(
      { ...config, scope: "handler", user: userOf, enforcement: "required" },
      (req, { idempotency }) => work(req, idempotency),
    ),
    operation: async (req) => {
      try {
        return operationResponse(
          await withIdempotency(
            {
              ...config,
              userId: userOf(req),
              route: "operation",
              key: readIdempotencyKey(req),
              payload: await fingerprintRequest(req),
            },
            () => Promise.resolve({ status: 201, body: { done: req.method } }),
          ),
        );
      } catch (error) {
        return refusalResponse(error, req);
      }
    },
    calls: async (req) => {
      const userId = userOf(req);
      const key = getIdempotencyKey(req) ?? crypto.randomUUID();
      const scope = { scope: "calls", ttlSeconds };
      try {
        const checked = await checkIdempotency(store, key, userId, scope);
        if (checked.isIdempotent && checked.cachedResponse !== null) {
          const { response, status_code, response_headers } =
            checked.cachedResponse;
          return new Response(response, {
            status: status_code,
            headers: response_headers,
          });
        }
        await using _ = await createIdempotencyKey(store, key, userId, scope);
        await storeIdempotencyResult(store, key, userId, {
          response: { done: true },
          statusCode: 200,
        }, scope);
        return Response.json({ done: true });
      } catch (error) {
        return refusalResponse(error, req);
      }
    },
  };
}

/** What the routes do: what is asked decides which kind of answer it is. */
async function work(
  req: Request,
  idempotency: IdempotencyContext,
): Promise<Response> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await req.arrayBuffer());
  } catch {
    return idempotency.notFinal(problemResponse({
      status: 400,
      code: "BODY_BROKEN",
      title: "Body broken",
      detail: "The body broke off: send it again",
    }));
  }
  const step = await idempotency.step("measure", () => bytes.byteLength);
  switch (bytes.byteLength % 8) {
    case 0:
      return new Response(null, { status: 204 });
    case 1:
      return idempotency.notFinal(Response.json({ step }));
    case 2:
      return idempotency.streamed(new Response(new Blob(["a", "b"]).stream()));
    case 3:
      return idempotency.finishLater(
        new Response(null, { status: 202 }),
        () => Promise.resolve(Response.json({ step })),
      );
    case 4:
      return new Response("x".repeat(20_000), {
        headers: { "Set-Cookie": "a=b", "Content-Type": "text/plain" },
      });
    case 5:
      return new Response(new Uint8Array([0, 255, 254, 128]));
    default:
      return Response.json({ step, attempt: idempotency.attempt }, {
        status: 201,
        headers: { Location: "/orders/1" },
      });
  }
}

const ORDER = { item: "tea", count: 1, note: { text: "now" }, tags: ["a"] };

/**
 * Asks each form of the middleware odd things until the time is up, on a ledger
 * in memory, behind an HTTP server that passes on what it takes for a request.
 */
export async function askForms(
  limits: TrialLimits,
): Promise<readonly Tally[]> {
  const forms = new Map(Object.entries(formsOn(memoryLedger())));
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (req) => {
      const target = URL.parse(req.url);
      const form = forms.get(target?.pathname.split("/")[1] ?? "");
      return await form?.(req) ?? problemResponse({
        status: 404,
        code: "NOT_FOUND",
        title: "Not found",
        detail: "Nothing is served there",
      });
    },
  );
  const routes = [...forms.keys()].map((name): FuzzedRoute => ({
    method: "POST",
    path: `/${name}`,
    schema: undefined,
    query: ["a"],
    caller: "user",
  }));
  const tallies = await askOddly({
    port: server.addr.port,
    requests: oddRequests(routes, routes[0]!),
    names: /(?!)/,
    again: true,
    people: () =>
      Promise.resolve({
        credentials: {
          user: { "X-User": crypto.randomUUID() },
          secret: { "X-User": "x".repeat(256) },
          nobody: {},
          forged: { "X-User": "" },
        },
        rightOf: ({ path }) =>
          Promise.resolve({ path, body: ORDER, type: "application/json" }),
      }),
  }, limits);
  await server.shutdown();
  return tallies;
}
