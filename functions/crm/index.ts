import { withSupabase } from "@supabase/server";
import { type Context, Hono } from "hono";
import { z } from "zod";
import {
  archivedHeaders,
  ArchiveError,
  includeArchived,
} from "../../shared/archive.ts";
import type { Database } from "../../shared/database.types.ts";
import {
  type AppEnv,
  type IdempotentEnv,
  idempotentRoute,
} from "../_kit/idempotent_route.ts";
import {
  organizationCors,
  organizationOf,
  requireMembership,
  scopeInOrganization,
} from "../_kit/organization.ts";
import { pageOf, pageQuery } from "../_kit/paging.ts";
import { readJson, readQuery, requireMethod } from "../_kit/read_request.ts";
import {
  type ProblemTable,
  Refusal,
  refuse,
  routeNotFound,
} from "../_kit/refuse.ts";
import { ifMatch, versionTag } from "../_kit/versions.ts";
import openapi from "./openapi.json" with { type: "json" };
import type { Resource, ResourceType } from "./resource.ts";
import {
  type ChangeRequest,
  ResourceError,
  type ResourceErrorCode,
  type ResourceStore,
  resourceStore,
} from "./resource_store.ts";
import { type ResourceName, resources } from "./resources.ts";

/** How what stands against a change of a row is told over HTTP. */
const problems: ProblemTable<ResourceErrorCode> = {
  ARCHIVED: { status: 409, title: "Archived" },
  ARCHIVING_NOT_ALLOWED: { status: 409, title: "Always in use" },
  CHANGED_MEANWHILE: { status: 412, title: "Changed meanwhile" },
  NOT_FOUND: { status: 404, title: "Not found" },
  ORGANIZATION_NOT_FOUND: { status: 404, title: "Organisation not found" },
  REFERENCE_NOT_FOUND: { status: 422, title: "Reference not found" },
  RULE_BROKEN: { status: 422, title: "Rule broken" },
  STATUS_CHANGE_NOT_ALLOWED: {
    status: 409,
    title: "Status change not allowed",
  },
  SYSTEM_ROLE: { status: 409, title: "Role of the system" },
  VALUE_TAKEN: { status: 409, title: "Value taken" },
};

// Of one user, and of this moment.
const NO_STORE = { "Cache-Control": "no-store" };

const Page = z.object(pageQuery);

/** What is served, for who compares it with what is documented. */
export const routes = new Hono<AppEnv>();

routes.all("/crm/openapi.json", (c) => {
  requireMethod(c.req.raw, "GET");
  return Response.json(openapi);
});

for (const [name, type] of Object.entries(resources)) {
  serve(name as ResourceName, type);
}

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

/** The routes of one resource: each write has a scope, and so keys, of its own. */
function serve(name: ResourceName, type: ResourceType): void {
  const list = `/crm/${name}`;
  const one = `${list}/:id`;
  const once = (path: string) =>
    idempotentRoute({
      scope: scopeInOrganization(path.slice(1)),
      enforcement: type.enforcement,
    });

  for (
    const [path, ...methods] of [
      [list, "GET", "POST"],
      [one, "GET", "PUT", "PATCH", "DELETE"],
      [`${one}/restore`, "POST"],
      [`${one}/history`, "GET"],
    ] as const
  ) {
    routes.use(path, async (c, next) => {
      requireMethod(c.req.raw, ...methods);
      await next();
    });
  }

  routes.get(list, async (c) => {
    const included = includeArchived(c.req.raw);
    const organization = organizationOf(c.req.raw);
    const { limit, cursor } = readQuery(c.req.raw, Page);
    const filters = readQuery(
      without(c.req.raw, "include_archived", ...Object.keys(pageQuery)),
      type.query,
    );
    const found = await storeOf(c, name).list({
      ownerId: organization ?? c.env.userClaims!.id,
      after: cursor,
      filters,
      includeArchived: included,
      // One more than asked for tells whether there is another page.
      limit: limit + 1,
    });
    if (found.length === 0 && organization !== null) {
      await requireMembership(c.env.supabase, organization);
    }
    const { rows, nextCursor } = pageOf(found, limit);
    return Response.json({ [name]: rows, nextCursor }, {
      headers: { ...archivedHeaders(rows, included), ...NO_STORE },
    });
  });

  routes.post(list, once(list), async (c) => {
    const fields = await readJson(c.req.raw, type.whole);
    const organization = organizationOf(c.req.raw);
    const made = await storeOf(c, name).create(
      fields,
      organization,
      await requestOf(c),
    );
    return answer(made, {
      status: 201,
      headers: { Location: `${name}/${made.id}` },
    });
  });

  routes.get(one, async (c) => {
    const included = includeArchived(c.req.raw);
    const row = await read(c, name);
    if (row.archivedAt !== null && !included) {
      throw new ResourceError(
        "NOT_FOUND",
        `${name} ${row.id} is archived: ask for it with ?include_archived=true, or restore it`,
      );
    }
    return answer(row, {
      headers: { ...archivedHeaders([row], included), ...NO_STORE },
    });
  });

  routes.get(`${one}/history`, async (c) => {
    const { id } = await read(c, name);
    const history = await storeOf(c, name).history(id);
    return Response.json({ history }, { headers: NO_STORE });
  });

  for (const method of ["PUT", "PATCH"] as const) {
    const Fields = method === "PUT" ? type.whole : type.changes;
    routes.on(method, one, once(one), async (c) => {
      const fields = await readJson(c.req.raw, Fields);
      return await change(c, name, "update", fields);
    });
  }

  routes.delete(one, once(one), async (c) => {
    if (new URL(c.req.url).searchParams.has("hard")) throw hardDelete(name);
    return await change(c, name, "archive");
  });

  const back = `${one}/restore`;
  routes.post(back, once(back), (c) => change(c, name, "restore"));
}

type Asked = Pick<Context<AppEnv>, "env" | "req">;
type Writing = Pick<Context<IdempotentEnv>, "env" | "req" | "var">;

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

function storeOf({ env }: Asked, name: ResourceName): ResourceStore {
  return resourceStore(env.supabase, name);
}

/** The row of a path. */
async function read(asked: Asked, name: ResourceName): Promise<Resource> {
  const id = idOf(asked, name);
  const row = await storeOf(asked, name).read(id);
  if (row === null) throw notFound(name, id);
  return row;
}

function idOf({ req }: Asked, name: ResourceName): string {
  const id = req.param("id") ?? "";
  if (z.guid().safeParse(id).success) return id;
  throw notFound(name, id);
}

async function requestOf(
  { req, var: { idempotency } }: Writing,
): Promise<ChangeRequest> {
  return {
    id: await idempotency.effectKey("crm"),
    key: idempotency.key,
    method: req.method,
    route: req.routePath.slice(1),
  };
}

async function change(
  c: Writing,
  name: ResourceName,
  action: "update" | "archive" | "restore",
  fields: Record<string, unknown> = {},
): Promise<Response> {
  return answer(
    await storeOf(c, name).change(
      action,
      idOf(c, name),
      fields,
      ifMatch(c.req.raw),
      await requestOf(c),
    ),
  );
}

function answer(row: Resource, init: ResponseInit = {}): Response {
  const headers = { ...init.headers, ETag: versionTag(row.version) };
  return Response.json(row, { ...init, headers });
}

function notFound(name: ResourceName, id: string): ResourceError {
  return new ResourceError(
    "NOT_FOUND",
    `You have no ${name} ${id}: check the id`,
  );
}

function hardDelete(name: ResourceName): Refusal {
  return new Refusal({
    status: 403,
    code: "HARD_DELETE_NOT_ALLOWED",
    title: "Hard delete is for administrators",
    detail:
      `This route archives: leave ?hard out. The service role deletes for good, with DELETE /rest/v1/crm_${name}?id=eq.… and the secret key`,
  });
}

/** A request whose query lacks the parameters that are read by themselves. */
function without(req: Request, ...parameters: string[]): Request {
  const url = new URL(req.url);
  for (const parameter of parameters) url.searchParams.delete(parameter);
  return new Request(url, { headers: req.headers });
}
