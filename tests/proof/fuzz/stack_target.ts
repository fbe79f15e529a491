import { setEnvironment } from "../../../scripts/stack/environment.ts";
import type { Stack } from "../../../scripts/stack/stack.ts";
import { type Actor, project } from "../../support/stack.ts";
import { subscribe } from "../../support/subscriber.ts";
import { prepare, writeRoutes } from "../../support/write_routes.ts";
import type { Tally, TrialLimits } from "../trial.ts";
import { namesInside } from "./answers.ts";
import {
  askOddly,
  patiently,
  type People,
  STRIPE_SECRET,
  type Target,
} from "./ask.ts";
import {
  type FuzzedRoute,
  oddRequests,
  type Right,
  routes,
} from "./requests.ts";

/** Asks every route of a local stack odd things until the time is up. */
export async function askStack(
  stack: Stack,
  limits: TrialLimits,
): Promise<readonly Tally[]> {
  const restore = setEnvironment({ STRIPE_WEBHOOK_SECRET: STRIPE_SECRET });
  try {
    return await askOddly(await targetOf(stack), limits);
  } finally {
    restore();
  }
}

async function targetOf(stack: Stack): Promise<Target> {
  return {
    port: Number(new URL(stack.apiUrl).port),
    requests: oddRequests(
      routes,
      routes.find(({ path }) => path.endsWith("/process-document"))!,
    ),
    names: await namesInside(stack.sql),
    again: false,
    people: () => peopleOf(stack),
  };
}

async function peopleOf(stack: Stack): Promise<People> {
  const user = await subscribe(stack, { included: 1_000_000, cost: 1 });
  const token = await opsToken(stack);
  const found = new Map<FuzzedRoute, Promise<Right>>();
  return {
    credentials: {
      user: { ...user.headers, ...token },
      secret: { ...project(stack).headers },
      nobody: { apikey: stack.publishableKey },
      forged: {
        ...user.headers,
        Authorization: user.headers["Authorization"]!.slice(0, -4) + "AAAA",
      },
    },
    rightOf(route) {
      const made = found.get(route) ?? prepared(route, stack, user);
      found.set(route, made);
      return made;
    },
  };
}

async function prepared(
  route: FuzzedRoute,
  stack: Stack,
  user: Actor,
): Promise<Right> {
  let failure: unknown;
  const right = await patiently(
    () =>
      rightRequest(route, stack, user).catch((error) => {
        failure = error;
        return null;
      }),
    (right) => right === null,
  );
  if (right === null) throw failure;
  return right;
}

async function rightRequest(
  { method, path, type = "application/json" }: FuzzedRoute,
  stack: Stack,
  user: Actor,
): Promise<Right> {
  const below = path.replace("/functions/v1/", "");
  const writes = writeRoutes.find((route) =>
    route.method === method && route.path === below
  );
  if (writes !== undefined) {
    const made = await prepare(writes, stack, user);
    return {
      path: `/functions/v1/${made.path}`,
      body: made.body,
      type: made.type ?? type,
    };
  }
  return {
    path: path.replace("{id}", await idFor(below, stack, user)),
    body: BODIES[path],
    type,
  };
}

/** The id of a row of the user's that a path without a body may be about. */
async function idFor(path: string, stack: Stack, user: Actor): Promise<string> {
  const [list] = path.split("/{id}");
  const about = writeRoutes.find((route) =>
    path.includes("{id}") && route.path.startsWith(`${list}/{id}`)
  );
  if (about === undefined) return crypto.randomUUID();
  const made = await prepare(about, stack, user);
  return made.path.split("/").find((part) => /^[0-9a-f-]{36}$/.test(part))!;
}

// What routes take that do not write by a key.
const BODIES: Record<string, unknown> = {
  "/credits": { amount: 1 },
  "/functions/v1/process-document-unprotected": {
    documentId: crypto.randomUUID(),
  },
  "/ops/api/statistics": { hours: 1, scope: null },
  "/ops/api/recent": { limit: 1, status: "failed", scope: "events" },
  "/ops/api/resolve": {
    userId: null,
    scope: "events",
    key: "order-17",
    as: "completed",
    status: 200,
    body: "{}",
    headers: {},
    note: null,
  },
  "/functions/v1/stripe-webhook": {
    id: "evt_1",
    object: "event",
    type: "payment_intent.succeeded",
    created: 1_795_000_000,
    data: {
      object: {
        id: "pi_1",
        object: "payment_intent",
        amount_received: 4999,
        currency: "eur",
        metadata: { user_id: crypto.randomUUID() },
      },
    },
  },
};

async function opsToken({ apiUrl }: Stack): Promise<Record<string, string>> {
  const response = await fetch(`${apiUrl}/ops`, { redirect: "manual" });
  await response.body?.cancel();
  const token = response.headers.get("location")?.split("#token=")[1];
  return token === undefined ? {} : { "X-Ops-Token": token };
}
