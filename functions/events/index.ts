import { withSupabase } from "@supabase/server";
import { type Context, Hono } from "hono";
import { z } from "zod";
import {
  archive,
  archivedHeaders,
  ArchiveError,
  exposeArchived,
  restore,
} from "../../shared/archive.ts";
import type { Database } from "../../shared/database.types.ts";
import { corsHeaders, fingerprintRequest } from "../../shared/idempotency.ts";
import { withEnvelope } from "../_kit/envelope.ts";
import {
  type AppEnv,
  type IdempotentEnv,
  idempotentRoute,
} from "../_kit/idempotent_route.ts";
import { type Members, withLanguage } from "../_kit/language.ts";
import { readJson, readQuery, requireMethod } from "../_kit/read_request.ts";
import { Refusal, refuse } from "../_kit/refuse.ts";
import { StoreError } from "../_kit/store_error.ts";
import {
  type Consent,
  type CreatedEvent,
  type Done,
  type EventStore,
  eventStore,
  type Hindered,
  type Undecided,
} from "./event_store.ts";
import { en, type EventCode } from "./messages/en.ts";
import { ru } from "./messages/ru.ts";
import {
  ConsentQuery,
  CreateRequest,
  ListQuery,
  NoQuery,
  ReadQuery,
  UpdateRequest,
} from "./requests.ts";

const headers = exposeArchived({
  ...corsHeaders,
  "Access-Control-Expose-Headers": `${
    corsHeaders["Access-Control-Expose-Headers"]
  }, Content-Language`,
});

// Of one user, and of this moment.
const FRESH = { "Cache-Control": "no-store" };

// Credits hang on it, and without a key a retry would spend them again. The
// confirmation is the same intention as the question it answers.
const once = (scope: string) =>
  idempotentRoute({
    scope,
    enforcement: "required",
    fingerprint: (req) =>
      fingerprintRequest(req, { ignoreQuery: ["confirm_credit", "max_cost"] }),
  });

type Asked = Pick<Context<AppEnv>, "env" | "req">;

/** What is served, for who compares it with what is documented. */
export const routes = new Hono<AppEnv>();

for (
  const [path, ...methods] of [
    ["/events", "GET", "POST"],
    ["/events/:id", "GET", "PATCH", "DELETE"],
    ["/events/:id/cancel", "POST"],
    ["/events/:id/restore", "POST"],
  ] as const
) {
  routes.use(path, async (c, next) => {
    requireMethod(c.req.raw, ...methods);
    await next();
  });
}

routes.get("/events", async (c) => {
  const { limit, include_archived: includeArchived } = readQuery(
    c.req.raw,
    ListQuery,
  );
  const events = await storeOf(c).list({ limit, includeArchived });
  return Response.json({ events }, {
    headers: { ...archivedHeaders(events, includeArchived), ...FRESH },
  });
});

routes.post("/events", once("events"), async (c) => {
  const consent = await consentOf(c, "create-event");
  const event = await readJson(c.req.raw, CreateRequest);
  return answer(await storeOf(c).create(event, consent), 201);
});

routes.get("/events/:id", async (c) => {
  const { include_archived } = readQuery(c.req.raw, ReadQuery);
  const event = await read(c);
  if (event.archivedAt !== null && !include_archived) {
    throw problem("EVENT_ARCHIVED", 404, { eventId: event.id });
  }
  return Response.json({ event }, {
    headers: { ...archivedHeaders([event], include_archived), ...FRESH },
  });
});

routes.patch("/events/:id", once("events/:id"), async (c) => {
  const consent = await consentOf(c, "edit-event");
  const { version, ...changes } = await readJson(c.req.raw, UpdateRequest);
  const decision = await storeOf(c).update(idOf(c), version, changes, consent);
  return answer(unhindered(decision, idOf(c)), 200);
});

routes.delete("/events/:id", once("events/:id"), async (c) => {
  readQuery(c.req.raw, NoQuery);
  const found = await archive(c.env.supabase, "events", idOf(c));
  if (!found) throw notFound(idOf(c));
  return Response.json({ event: await read(c) });
});

routes.post("/events/:id/restore", once("events/:id/restore"), async (c) => {
  readQuery(c.req.raw, NoQuery);
  const found = await restore(c.env.supabase, "events", idOf(c));
  if (!found) throw notFound(idOf(c));
  return Response.json({ event: await read(c) });
});

routes.post("/events/:id/cancel", once("events/:id/cancel"), async (c) => {
  readQuery(c.req.raw, NoQuery);
  const decision = await storeOf(c).cancel(idOf(c));
  const { event } = unhindered(decision, idOf(c));
  return Response.json({ event });
});

routes.notFound((c) =>
  refuse(
    problem("ROUTE_NOT_FOUND", 404, { instance: c.req.path }),
    {},
    c.req.raw,
  )
);

routes.onError((error, c) => {
  // Soft delete knows nothing of this API's answers.
  const told = error instanceof ArchiveError
    ? new StoreError("Cannot archive or restore an event", error)
    : error;
  const refused = refuse(told, {}, c.req.raw);
  // Topping up, another version, a mended body: the same key has to run again.
  return c.var.idempotency?.notFinal(refused) ?? refused;
});

const events = withSupabase<Database>(
  { auth: "user", cors: { headers } },
  async (req, context) => await routes.fetch(req, context),
);

export default { fetch: withEnvelope(withLanguage({ ru }, events)) };

function storeOf({ env }: Asked): EventStore {
  return eventStore(env.supabase);
}

function idOf({ req }: Asked): string {
  const id = req.param("id") ?? "";
  if (z.guid().safeParse(id).success) return id;
  throw notFound(id.slice(0, 100));
}

/** The event of a path. */
async function read(asked: Asked): Promise<CreatedEvent> {
  const id = idOf(asked);
  const event = await storeOf(asked).read(id);
  if (event === null) throw notFound(id);
  return event;
}

async function consentOf(
  { req, var: { idempotency } }: Asked & Pick<Context<IdempotentEnv>, "var">,
  effect: string,
): Promise<Consent> {
  const { confirm_credit, max_cost } = readQuery(req.raw, ConsentQuery);
  return {
    requestId: await idempotency.effectKey(effect),
    confirmCredit: confirm_credit === "1",
    maxCost: max_cost,
  };
}

/** The answer to what was done. What is no outcome is thrown. */
function answer(decision: Done | Undecided, status: number): Response {
  const { outcome, cost, balance } = decision;
  switch (outcome) {
    case "question":
      throw problem("CREDIT_CONFIRMATION_REQUIRED", 409, inCredits());
    case "too_few_credits":
      throw problem("TOO_FEW_CREDITS", 402, inCredits());
    default: {
      const { event } = decision as Done;
      return Response.json({ event, cost, balance }, { status });
    }
  }

  function inCredits() {
    return { cost, balance, currency: "credits" };
  }
}

/** What an event was ready for. What stands against it is thrown. */
function unhindered<Decision extends { outcome: string }>(
  decision: Decision | Hindered,
  eventId: string,
): Exclude<Decision, Hindered> {
  switch (decision.outcome) {
    case "not_found":
      throw notFound(eventId);
    case "archived":
      throw problem("EVENT_ARCHIVED", 409, { eventId });
    case "cancelled":
      throw problem("EVENT_CANCELLED", 409, { eventId });
    case "changed": {
      const { version } = decision as { version: number } & Hindered;
      throw problem("EVENT_CHANGED", 409, { eventId, version });
    }
    default:
      return decision as Exclude<Decision, Hindered>;
  }
}

function notFound(eventId: string): Refusal {
  return problem("EVENT_NOT_FOUND", 404, { eventId });
}

function problem(
  code: EventCode,
  status: number,
  members: Members,
): Refusal {
  const { title, detail } = en[code];
  return new Refusal({
    status,
    code,
    title,
    detail: detail(members),
    extensions: members,
  });
}
