import { withSupabase } from "@supabase/server";
import { type Context, Hono } from "hono";
import { z } from "zod";
import {
  archivedHeaders,
  ArchiveError,
  includeArchived,
} from "../../shared/archive.ts";
import type { Database } from "../../shared/database.types.ts";
import type { IdempotencyConfig } from "../../shared/idempotency.ts";
import {
  type AppEnv,
  type IdempotentEnv,
  idempotentRoute,
} from "../_kit/idempotent_route.ts";
import {
  organizationCors,
  organizationOf,
  organizationOrUser,
  requireMembership,
  scopeInOrganization,
} from "../_kit/organization.ts";
import { pageOf } from "../_kit/paging.ts";
import { readJson, requireMethod } from "../_kit/read_request.ts";
import {
  type ProblemTable,
  Refusal,
  refuse,
  routeNotFound,
} from "../_kit/refuse.ts";
import { ifMatch, versionTag } from "../_kit/versions.ts";
import {
  type Quotation,
  QuotationError,
  type QuotationErrorCode,
} from "./quotation.ts";
import {
  type Change,
  type QuotationStore,
  quotationStore,
} from "./quotation_store.ts";
import {
  listQuery,
  QuotationChanges,
  StatusChange,
  WholeQuotation,
} from "./requests.ts";

/** How what stands against a change of a quotation is told over HTTP. */
const problems: ProblemTable<QuotationErrorCode> = {
  AMOUNT_TOO_LARGE: { status: 422, title: "Amount too large" },
  ORGANIZATION_NOT_FOUND: { status: 404, title: "Organisation not found" },
  QUOTATION_ARCHIVED: { status: 409, title: "Quotation archived" },
  QUOTATION_CHANGED: { status: 412, title: "Quotation changed meanwhile" },
  QUOTATION_EMPTY: { status: 409, title: "Quotation has no lines" },
  QUOTATION_NOT_DRAFT: { status: 409, title: "Quotation was sent" },
  QUOTATION_NOT_FOUND: { status: 404, title: "Quotation not found" },
  QUOTATION_OVERDUE: { status: 409, title: "Quotation overdue" },
  STATUS_CHANGE_NOT_ALLOWED: {
    status: 409,
    title: "Status change not allowed",
  },
};

// Each kind of write has keys of its own. A client without one is warned: the
// environment takes it from there (IDEMPOTENCY_ENFORCEMENT).
const once = (scope: string, config: Pick<IdempotencyConfig, "user"> = {}) =>
  idempotentRoute({
    scope: scopeInOrganization(scope),
    enforcement: "warn",
    ...config,
  });

type Asked = Pick<Context<AppEnv>, "env" | "req">;

/** What is served, for who compares it with what is documented. */
export const routes = new Hono<AppEnv>();

for (
  const [path, ...methods] of [
    ["/quotations", "GET", "POST"],
    ["/quotations/:id", "GET", "PUT", "PATCH", "DELETE"],
    ["/quotations/:id/restore", "POST"],
    ["/quotations/:id/status", "POST", "PATCH"],
  ] as const
) {
  routes.use(path, async (c, next) => {
    requireMethod(c.req.raw, ...methods);
    await next();
  });
}

routes.get("/quotations", async (c) => {
  const query = listQuery(c.req.raw);
  const organization = organizationOf(c.req.raw);
  const found = await storeOf(c).list({
    ...query,
    ownerId: organization ?? c.env.userClaims!.id,
    // One more than asked for tells whether there is another page.
    limit: query.limit + 1,
  });
  if (found.length === 0 && organization !== null) {
    await requireMembership(c.env.supabase, organization);
  }
  const { rows: quotations, nextCursor } = pageOf(found, query.limit);
  return Response.json({ quotations, nextCursor }, {
    headers: {
      ...archivedHeaders(quotations, query.includeArchived),
      "Cache-Control": "no-store",
    },
  });
});

routes.post("/quotations", once("quotations"), async (c) => {
  const draft = await readJson(c.req.raw, WholeQuotation);
  const requestId = await c.var.idempotency.effectKey("create-quotation");
  const organization = organizationOf(c.req.raw);
  const quotation = await storeOf(c).create(requestId, draft, organization);
  return answer(quotation, {
    status: 201,
    headers: { Location: `quotations/${quotation.id}` },
  });
});

routes.get("/quotations/:id", async (c) => {
  const included = includeArchived(c.req.raw);
  const quotation = await read(c);
  if (quotation.archivedAt !== null && !included) {
    throw new QuotationError(
      "QUOTATION_NOT_FOUND",
      `Quotation ${quotation.id} is archived: ask for it with ?include_archived=true, or restore it`,
    );
  }
  return answer(quotation, {
    headers: {
      ...archivedHeaders([quotation], included),
      "Cache-Control": "no-store",
    },
  });
});

for (const method of ["PUT", "PATCH"] as const) {
  const Fields = method === "PUT" ? WholeQuotation : QuotationChanges;
  routes.on(method, "/quotations/:id", once("quotations/:id"), async (c) => {
    const fields = await readJson(c.req.raw, Fields);
    const change = await changeOf(c, "update-quotation");
    return answer(await storeOf(c).update(idOf(c), fields, change));
  });
}

routes.delete("/quotations/:id", once("quotations/:id"), async (c) => {
  if (new URL(c.req.url).searchParams.has("hard")) throw hardDelete();
  const change = await changeOf(c, "archive-quotation");
  return answer(await storeOf(c).archive(idOf(c), true, change));
});

routes.post(
  "/quotations/:id/restore",
  once("quotations/:id/restore"),
  async (c) => {
    const change = await changeOf(c, "restore-quotation");
    return answer(await storeOf(c).archive(idOf(c), false, change));
  },
);

routes.on(
  ["POST", "PATCH"],
  "/quotations/:id/status",
  // Colleagues who send one key mean one change of status.
  once("quotations/:id/status", { user: organizationOrUser }),
  async (c) => {
    const { status } = await readJson(c.req.raw, StatusChange);
    const change = await changeOf(c, "change-quotation-status");
    const organization = organizationOf(c.req.raw);
    return answer(
      await storeOf(c).changeStatus(idOf(c), status, organization, change),
    );
  },
);

routes.notFound((c) => refuse(routeNotFound(c.req.path), problems, c.req.raw));

routes.onError((error, c) => {
  const refused = refuse(inOurWords(error), problems, c.req.raw);
  return c.var.idempotency?.notFinal(refused) ?? refused;
});

export default {
  fetch: withSupabase<Database>(
    { auth: "user", cors: { headers: organizationCors } },
    async (req, context) => await routes.fetch(req, context),
  ),
};

/** An error of soft delete, which knows nothing of this API's answers. */
function inOurWords(error: Error): Error {
  return error instanceof ArchiveError
    ? new Refusal({
      status: 400,
      code: "REQUEST_INVALID",
      title: "Invalid request",
      detail: error.message,
    }, { cause: error })
    : error;
}

function storeOf({ env }: Asked): QuotationStore {
  return quotationStore(env.supabase);
}

/** The quotation of a path. */
async function read(asked: Asked): Promise<Quotation> {
  const id = idOf(asked);
  const quotation = await storeOf(asked).read(id);
  if (quotation === null) throw notFound(id);
  return quotation;
}

function idOf({ req }: Asked): string {
  const id = req.param("id") ?? "";
  if (z.guid().safeParse(id).success) return id;
  throw notFound(id);
}

async function changeOf(
  { req, var: { idempotency } }: Asked & Pick<Context<IdempotentEnv>, "var">,
  name: string,
): Promise<Change> {
  const requestId = await idempotency.effectKey(name);
  return { requestId, versions: ifMatch(req.raw) };
}

function answer(quotation: Quotation, init: ResponseInit = {}): Response {
  const headers = { ...init.headers, ETag: versionTag(quotation.version) };
  return Response.json(quotation, { ...init, headers });
}

function notFound(id: string): QuotationError {
  return new QuotationError(
    "QUOTATION_NOT_FOUND",
    `You have no quotation ${id}: check the id`,
  );
}

function hardDelete(): Refusal {
  return new Refusal({
    status: 403,
    code: "HARD_DELETE_NOT_ALLOWED",
    title: "Hard delete is for administrators",
    detail:
      "This route archives: leave ?hard out. The service role deletes for good, with DELETE /rest/v1/quotations?id=eq.… and the secret key",
  });
}
