import { z } from "zod";
import type { Route } from "./route.ts";
import { routes } from "./routes.ts";

type Json = Record<string, unknown>;

const ref = (kind: string, name: string) => ({
  $ref: `#/components/${kind}/${name}`,
});

// A key is the same everywhere: others may refer to this component of ours.
const KEY = {
  name: "Idempotency-Key",
  in: "header",
  description:
    "One for each intention, the same in every retry: the request takes effect once, and retries get the same answer. X-Idempotency-Key means the same.",
  schema: {
    type: "string",
    minLength: 3,
    maxLength: 256,
    pattern: "^[A-Za-z0-9_-]+$",
  },
  example: "offer-17",
};

const PARAMETERS = {
  IdempotencyKey: { ...KEY, required: false },
  RequiredIdempotencyKey: { ...KEY, required: true },
  Id: {
    name: "id",
    in: "path",
    required: true,
    schema: { type: "string", format: "uuid" },
  },
  IfMatch: {
    name: "If-Match",
    in: "header",
    description:
      "The ETag of the version that the change is made for; 412 where there is another one by now.",
    schema: { type: "string" },
    example: '"3"',
  },
  Organization: {
    name: "X-Organization-Id",
    in: "header",
    description:
      "The organisation for which the caller acts; left out: for nobody else.",
    schema: { type: "string", format: "uuid" },
  },
  IncludeArchived: {
    name: "include_archived",
    in: "query",
    schema: { type: "boolean", default: false },
  },
};

const flag = (description: string) => ({
  description,
  schema: { type: "string", const: "true" },
});

const HEADERS = {
  IdempotencyReplay: flag("This is the recorded answer of an earlier request."),
  IdempotencyStored: flag("This answer was recorded: retries will get it."),
  IdempotencyMissing: flag("The request should have had a key."),
  ArchivedIncluded: flag("Archived rows were asked for."),
  ArchivedCount: {
    description: "How many of the rows are archived.",
    schema: { type: "string", pattern: "^\\d+$" },
  },
  Version: {
    description: "The version of the row, for If-Match.",
    schema: { type: "string" },
  },
  RetryAfter: {
    description: "Seconds to wait before the same request is sent again.",
    schema: { type: "string", pattern: "^\\d+$" },
  },
};

const PROBLEM = {
  type: "object",
  description: "RFC 9457.",
  required: ["title", "status", "detail", "code"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string", description: "What was wrong and what to do." },
    code: {
      type: "string",
      description: "What clients branch on.",
      examples: ["IDEMPOTENCY_KEY_REUSED"],
    },
    instance: { type: "string" },
    retryable: { type: "boolean" },
  },
};

// One for all: what a status means is the same everywhere, and the code says the rest.
const PROBLEM_RESPONSE = {
  description: [
    "400: not as expected, or the key is missing or malformed; nothing was done.",
    "401: nobody is signed in. 402: too few credits.",
    "404: there is nothing of the caller's with this id.",
    "409: the same request is running, see Retry-After, or a rule stands against it.",
    "412: it was changed meanwhile. 413: too large. 415: another content type.",
    "422: the key was used for another request, or a rule stands against this one.",
    "502: a provider refused. 503: a part is out of reach, send the same request again.",
  ].join("\n"),
  headers: { "Retry-After": ref("headers", "RetryAfter") },
  content: {
    "application/problem+json": { schema: ref("schemas", "Problem") },
  },
};

const SECURITY = {
  user: [{ accessToken: [], publishableKey: [] }],
  secret: [{ secretKey: [] }],
  signature: [{ stripeSignature: [] }],
  nobody: [],
};

const apiKey = (name: string, description: string) => ({
  type: "apiKey",
  in: "header",
  name,
  description,
});

const SECURITY_SCHEMES = {
  accessToken: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "Of a user, from Supabase Auth.",
  },
  publishableKey: apiKey("apikey", "The project's publishable key."),
  secretKey: apiKey("apikey", "The project's secret key."),
  stripeSignature: apiKey("Stripe-Signature", "Made by Stripe."),
};

/** A zod schema as JSON Schema 2020-12, which is what OpenAPI 3.1 takes. */
function schemaOf(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    // A format says it all, and in one word.
    override: ({ jsonSchema }) => {
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
    },
  });
  return rest;
}

/** The OpenAPI document of every route of every function. */
export function openApiDocument(): Json {
  const schemas: Json = { Problem: PROBLEM };
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = paths[route.path] ??= pathOf(route);
    path[route.method] = operationOf(route, schemas);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Edge functions that take effect once",
      version: "1.0.0",
      description:
        "Every write takes an idempotency key. x-idempotency says the scope of a route's keys and what a request without one gets.",
    },
    servers: [{ url: "/functions/v1" }],
    tags: [...new Set(routes.map(({ tag }) => tag))].sort()
      .map((name) => ({ name })),
    security: SECURITY.user,
    paths,
    components: {
      parameters: PARAMETERS,
      headers: HEADERS,
      responses: { Problem: PROBLEM_RESPONSE },
      schemas: Object.fromEntries(
        Object.entries(schemas).sort(([a], [b]) => a < b ? -1 : 1),
      ),
      securitySchemes: SECURITY_SCHEMES,
    },
  };
}

/** What the operations of a path share. */
function pathOf({ path, organizations }: Route): Json {
  const parameters = [
    ...(path.includes("{id}") ? [ref("parameters", "Id")] : []),
    ...(organizations ? [ref("parameters", "Organization")] : []),
  ];
  return parameters.length === 0 ? {} : { parameters };
}

function operationOf(route: Route, schemas: Json): Json {
  const { answer, keys, status } = route;
  if (answer !== undefined) schemas[answer.name] ??= schemaOf(answer.schema);
  const parameters = parametersOf(route);
  return {
    operationId: `${route.method} ${route.path}`
      .replaceAll(/[^a-z]+/gi, "_").replace(/_$/, ""),
    summary: route.summary,
    ...(route.description === undefined
      ? {}
      : { description: route.description }),
    tags: [route.tag],
    ...(route.auth === "user" ? {} : { security: SECURITY[route.auth] }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.csv === undefined ? {} : {
      requestBody: {
        required: true,
        content: {
          "text/csv": { schema: { type: "string" }, example: route.csv },
        },
      },
    }),
    ...(route.body === undefined && route.examples === undefined
      ? {}
      : { requestBody: bodyOf(route, schemas) }),
    responses: {
      [status]: {
        description: "Done.",
        headers: headersOf(route),
        ...(answer === undefined ? {} : {
          content: {
            "application/json": { schema: ref("schemas", answer.name) },
          },
        }),
      },
      default: ref("responses", "Problem"),
    },
    ...(keys === undefined ? {} : { "x-idempotency": keys }),
  };
}

function parametersOf(route: Route): Json[] {
  const { keys, query, method } = route;
  const parameters: Json[] = [];
  if (keys !== undefined) {
    const isRequired = keys.enforcement === "required" && method !== "delete";
    parameters.push(
      ref("parameters", `${isRequired ? "Required" : ""}IdempotencyKey`),
    );
  }
  if (route.versions) parameters.push(ref("parameters", "IfMatch"));
  if (query !== undefined) {
    const { properties, required = [] } = schemaOf(query) as {
      properties: Record<string, Json>;
      required?: string[];
    };
    for (const [name, schema] of Object.entries(properties)) {
      parameters.push({
        name,
        in: "query",
        ...(required.includes(name) ? { required: true } : {}),
        schema,
      });
    }
  }
  if (route.archived) parameters.push(ref("parameters", "IncludeArchived"));
  return parameters;
}

function bodyOf(
  { body, bodyName, examples, form }: Route,
  schemas: Json,
): Json {
  const told = body === undefined ? { type: "object" } : schemaOf(body);
  const { examples: own, ...schema } = told;
  if (bodyName !== undefined) schemas[bodyName] ??= schema;
  const shown = examples ?? own as unknown[] | undefined;
  return {
    required: true,
    content: {
      "application/json": {
        schema: bodyName === undefined ? schema : ref("schemas", bodyName),
        ...(shown === undefined ? {} : {
          examples: Object.fromEntries(
            shown.map((value, index) => [`${index + 1}`, { value }]),
          ),
        }),
      },
      ...(form
        ? {
          "multipart/form-data": {
            schema: {
              type: "object",
              required: ["file"],
              properties: { file: { type: "string", format: "binary" } },
            },
          },
        }
        : {}),
    },
  };
}

function headersOf({ keys, archived, versions, method }: Route): Json {
  return {
    ...(keys === undefined ? {} : {
      "X-Idempotency-Replay": ref("headers", "IdempotencyReplay"),
      "X-Idempotency-Stored": ref("headers", "IdempotencyStored"),
      ...(keys.enforcement === "optional" || method === "delete" ? {} : {
        "X-Idempotency-Missing": ref("headers", "IdempotencyMissing"),
      }),
    }),
    ...(archived
      ? {
        "X-Archived-Included": ref("headers", "ArchivedIncluded"),
        "X-Archived-Count": ref("headers", "ArchivedCount"),
      }
      : {}),
    ...(versions ? { ETag: ref("headers", "Version") } : {}),
  };
}
