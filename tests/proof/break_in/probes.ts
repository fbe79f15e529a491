import openapi from "../../../functions/crm/openapi.json" with { type: "json" };
import type { Stack } from "../../../scripts/stack/stack.ts";
import type { Actor } from "../../support/stack.ts";
import type { Catalogue, Procedure, Relation } from "./catalogue.ts";
import type { BadToken } from "./tokens.ts";
import type { Row, Victim } from "./victim.ts";

/** One way to get in, and who tries it. */
export interface Probe {
  readonly name: string;
  readonly path: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /**
   * What is to come of it: a refusal, or at most what the caller may have and do
   * for themselves.
   */
  readonly expected: "refused" | "nothing of the victim's";
}

/**
 * Other users, so that what one of them has sent is not found again in what is
 * told to another.
 */
export interface Strangers {
  /** Looks, and changes what is there, which is never theirs. */
  readonly reader: Stranger;
  /** Asks routes, and inserts. */
  readonly writer: Stranger;
  /** Calls functions of the database. */
  readonly caller: Stranger;
}

/** A user who is signed in. */
export type Stranger = Actor & { userId: string };

/** Who meets whom, and where. */
export interface Scene {
  readonly stack: Stack;
  readonly victim: Victim;
  /** Everything of the victim's. */
  readonly rows: readonly Row[];
  readonly strangers: Strangers;
  readonly anonymous: Actor;
  readonly tokens: readonly BadToken[];
  readonly catalogue: Catalogue;
}

type Rest = Partial<Pick<Probe, "method" | "headers" | "expected">> & {
  body?: unknown;
};

function probe(
  name: string,
  who: Pick<Actor, "headers">,
  path: string,
  { method = "GET", headers, body, expected = "refused" }: Rest = {},
): Probe {
  return {
    name,
    path,
    method,
    headers: {
      ...who.headers,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : {
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
    expected,
  };
}

/** Every probe, by what it goes through. */
export function probesOf(scene: Scene): readonly Probe[] {
  return [
    ...byToken(scene),
    ...byApiKey(scene),
    ...byHeader(scene),
    ...throughRoutes(scene),
    ...throughStatus(scene),
    ...throughPages(scene),
    ...throughOtherServices(scene),
    ...scene.catalogue.relations.flatMap((each) => throughTable(scene, each)),
    ...throughQueries(scene),
    ...scene.catalogue.procedures.flatMap((each) => byCalling(scene, each)),
  ];
}

const KEYS = "/rest/v1/idempotency_keys?select=scope,response";
const REPRESENTATION = { Prefer: "return=representation" };
const WRITTEN = "return=representation,resolution=merge-duplicates";

/** Where a token is believed or not. */
function byToken({ tokens, victim, anonymous }: Scene): Probe[] {
  const keyed = { "Idempotency-Key": victim.answered };
  const targets: [string, string, Rest][] = [
    ["the victim's keys", KEYS, {}],
    ["the victim's documents", "/rest/v1/documents?select=*", {}],
    ["the victim's answer", "/functions/v1/probe", {
      method: "POST",
      headers: keyed,
      body: { effect: victim.secret, steps: ["charge"], body: victim.secret },
    }],
    [
      "the status of the victim's key",
      `/functions/v1/idempotency-status?key=${victim.answered}&scope=probe`,
      {},
    ],
    ["the victim's quotations", "/functions/v1/quotations", {}],
    ["the victim's account", "/auth/v1/user", {}],
    ["the victim's status by RPC", "/rest/v1/rpc/get_idempotency_status", {
      method: "POST",
      body: { p_idempotency_key: victim.answered },
    }],
    ["a claim in the victim's name", "/rest/v1/rpc/idempotency_claim", {
      method: "POST",
      body: claimOf(victim),
    }],
    ["keys that are expired for others", "/functions/v1/cleanup-idempotency", {
      method: "POST",
    }],
  ];
  return tokens.flatMap(({ name, authorization }) =>
    targets.map(([what, path, rest]) =>
      probe(`${what}, with ${name}`, anonymous, path, {
        ...rest,
        headers: { ...rest.headers, Authorization: authorization },
      })
    )
  );
}

const claimOf = ({ userId, answered }: Victim) => ({
  p_owner: userId,
  p_scope: "probe",
  p_idempotency_key: answered,
  p_fingerprint: "a".repeat(64),
  p_owner_token: "00000000-0000-4000-9000-000000000001",
  p_lease_seconds: 60,
  p_ttl_seconds: 60,
});

/** Keys of the project that are none, and good ones for something else. */
function byApiKey({ stack, strangers, victim }: Scene): Probe[] {
  const guesses: Record<string, Record<string, string>> = {
    "no apikey": {},
    "an empty apikey": { apikey: "" },
    "a guessed secret key": { apikey: "sb_secret_guessed" },
    "the beginning of the secret key": { apikey: stack.secretKey.slice(0, -1) },
    "the publishable key called secret": {
      apikey: stack.publishableKey.replace("publishable", "secret"),
    },
    "the publishable key as the bearer": {
      apikey: stack.publishableKey,
      Authorization: `Bearer ${stack.publishableKey}`,
    },
    "the anon key as the bearer": {
      apikey: stack.anonKey,
      Authorization: `Bearer ${stack.anonKey}`,
    },
    "a user's token as the apikey": {
      apikey: strangers.reader.headers["Authorization"]!.replace("Bearer ", ""),
    },
  };
  const targets: [string, string, Rest][] = [
    ["the keys", KEYS, {}],
    ["a claim", "/rest/v1/rpc/idempotency_claim", {
      method: "POST",
      body: claimOf(victim),
    }],
    ["stuck keys", "/rest/v1/rpc/idempotency_stuck_keys", {
      method: "POST",
      body: {},
    }],
    ["cleanup", "/functions/v1/cleanup-idempotency", { method: "POST" }],
    ["the project's keys", "/functions/v1/probe", {
      method: "POST",
      headers: { "Idempotency-Key": victim.answered },
      body: {},
    }],
  ];
  return Object.entries(guesses).flatMap(([name, headers]) =>
    targets.map(([what, path, rest]) =>
      probe(`${what}, with ${name}`, { headers }, path, rest)
    )
  );
}

/** Headers, queries and bodies that name another user. */
function byHeader({ victim, strangers }: Scene): Probe[] {
  const { writer } = strangers;
  const body = {
    effect: victim.secret,
    steps: ["charge"],
    body: "the attacker's",
  };
  const names = [
    "X-User-Id",
    "X-Forwarded-User",
    "X-Supabase-User",
    "X-Auth-User",
    "X-Idempotency-Owner",
    "X-JWT-Claims",
    "Request.Jwt.Claims",
    "X-Original-Authorization",
    "Proxy-Authorization",
    "Cookie",
  ];
  return [
    ...names.map((header) =>
      probe(
        `the victim's answer, named in ${header}`,
        writer,
        "/functions/v1/probe",
        {
          method: "POST",
          headers: {
            "Idempotency-Key": victim.answered,
            [header]: header === "Cookie"
              ? `sub=${victim.userId}; user_id=${victim.userId}`
              : `{"sub":"${victim.userId}","role":"service_role"}`,
          },
          body,
          expected: "nothing of the victim's",
        },
      )
    ),
    ...["answered", "held", "stuck", "failed"].map((which) =>
      probe(
        `the victim's ${which} key, as a key of one's own`,
        writer,
        `/functions/v1/probe?user_id=${victim.userId}&owner=${victim.userId}`,
        {
          method: "POST",
          headers: {
            "Idempotency-Key": which === "answered"
              ? victim.answered
              : victim.open[which as "held"],
          },
          body: { ...body, userId: victim.userId },
          expected: "nothing of the victim's",
        },
      )
    ),
  ];
}

interface Operation {
  requestBody?: unknown;
}

/** Every route of every function, about what is the victim's. */
function throughRoutes(
  { victim, strangers, anonymous, rows }: Scene,
): Probe[] {
  return Object.entries(openapi.paths).flatMap(([path, operations]) =>
    Object.keys(operations).filter((method) => method !== "parameters")
      .flatMap((method): Probe[] => {
        const route = path.slice(1);
        const made = victim.made.find((each) =>
          each.route.path === route &&
          each.route.method === method.toUpperCase()
        );
        const id = idOf(route, victim, rows);
        const target = `/functions/v1/${
          made?.attempt.path ?? route.replace("{id}", id)
        }`;
        const { requestBody } =
          (operations as Record<string, Operation>)[method]!;
        const rest: Rest = {
          method: method.toUpperCase(),
          headers: {
            "Idempotency-Key": made?.key ?? victim.answered,
            ...(made?.attempt.type === undefined
              ? {}
              : { "Content-Type": made.attempt.type }),
          },
          ...(requestBody === undefined
            ? {}
            : { body: made?.attempt.body ?? changeOf(route, victim) }),
        };
        const open = /^(health|crm\/openapi.json)$/.test(route);
        const own = open || !route.includes("{id}") && !isClosed(route);
        const expected = own ? "nothing of the victim's" : "refused";
        const name = `${rest.method} ${route}`;
        const stranger = method === "get" ? strangers.reader : strangers.writer;
        return [
          probe(`${name}, by a stranger`, stranger, target, {
            ...rest,
            expected,
          }),
          probe(`${name}, as if of the organisation`, stranger, target, {
            ...rest,
            headers: {
              ...rest.headers,
              "X-Organization-Id": victim.organization,
            },
            expected,
          }),
          probe(`${name}, by nobody`, anonymous, target, {
            ...rest,
            expected: route === "health"
              ? "nothing of the victim's"
              : "refused",
          }),
        ];
      })
  );
}

// What needs more than a user.
function isClosed(route: string): boolean {
  return ["cleanup-idempotency", "stripe-webhook"].includes(route);
}

/** The id of something of the victim's that a route could be about. */
function idOf(
  route: string,
  { made, userId }: Victim,
  rows: readonly Row[],
): string {
  const list = route.split("/{id}")[0]!;
  const answer = made.find((each) => each.route.path === list)?.answer.body;
  // What came into being through the Data API.
  const found = rows.find(({ table }) => list === `pos/${table}`)?.row["id"];
  return answer?.id ?? answer?.saleId ?? answer?.recognitionId ??
    answer?.event?.id ?? (found as string | undefined) ?? userId;
}

/** A body that a route about one thing takes. */
function changeOf(route: string, { made, secret }: Victim): unknown {
  const list = route.split("/{id}")[0]!;
  const whole = made.find((each) => each.route.path === list);
  if (list === "events") return { version: 1, title: "stolen" };
  if (route.endsWith("/status")) return { status: "sent" };
  return whole?.attempt.body ?? { note: secret.slice(0, 3) };
}

/** What becomes of a key is told to whose it is. */
function throughStatus({ victim, strangers, anonymous }: Scene): Probe[] {
  const { answered, open, userId } = victim;
  const status = "/functions/v1/idempotency-status";
  const queries: Record<string, string> = {
    "as it is": `key=${answered}&scope=probe`,
    "of a key at work": `key=${open.held}&scope=probe`,
    "of a stuck key": `key=${open.stuck}&scope=probe`,
    "of a failed key": `key=${open.failed}&scope=probe`,
    "with its owner": `key=${answered}&scope=probe&owner=${userId}`,
    "with its user": `key=${answered}&scope=probe&user_id=${userId}`,
    "with a parameter of the function":
      `key=${answered}&scope=probe&p_owner=${userId}`,
    "with two keys": `key=mine-1&key=${answered}&scope=probe`,
    "with a wildcard for the key": `key=key-*&scope=probe`,
    "with a wildcard for the scope": `key=${answered}&scope=%25`,
    "with SQL for the scope": `key=${answered}&scope=${
      encodeURIComponent("probe' or true --")
    }`,
    "with no scope": `key=${answered}`,
    "with the organisation's scope":
      `key=${answered}&scope=${victim.organization}`,
  };
  return Object.entries(queries).flatMap(([name, query]) => [
    probe(`the status ${name}`, strangers.reader, `${status}?${query}`),
    probe(`the status ${name}, by nobody`, anonymous, `${status}?${query}`),
  ]);
}

/** Pages hold nothing of anybody's, and nothing beside them is served. */
function throughPages({ anonymous, strangers, victim }: Scene): Probe[] {
  const outside = [
    "/..%2fdeno.json",
    "/%2e%2e/%2e%2e/deno.json",
    "/try/..%2f..%2fkeys.ts",
    "/keys.ts",
    "/till/..%5c..%5ckeys.ts",
    "/ops/..%2f..%2fserve.ts",
    "/ops/serve.ts",
    "/.env",
    "/.git/config",
    "/supabase/config.toml",
    "/functions/v1/..%2f..%2frest%2fv1",
    "/functions/v1/_kit",
    "/functions/v1/__proto__",
    "/_provider/v1/fine_tuning/jobs",
  ];
  const asked = { owner: victim.userId, scope: "probe", key: victim.answered };
  const ops: [string, Record<string, string>][] = [
    ["without the link", {}],
    ["with a guessed link", { "X-Ops-Token": "A".repeat(43) }],
    ["with the publishable key", {
      "X-Ops-Token": anonymous.headers["apikey"]!,
    }],
    ["from another page", { Origin: "https://evil.example" }],
    ["from another site", { "Sec-Fetch-Site": "cross-site" }],
  ];
  return [
    ...outside.map((path) => probe(`the file ${path}`, anonymous, path)),
    ...ops.flatMap(([name, headers]) => [
      probe(
        `an operator's look at a key ${name}`,
        strangers.writer,
        "/ops/api/key",
        {
          method: "POST",
          headers,
          body: asked,
        },
      ),
      probe(
        `an operator's resolution ${name}`,
        strangers.writer,
        "/ops/api/resolve",
        {
          method: "POST",
          headers,
          body: {
            userId: victim.userId,
            scope: "probe",
            key: victim.open.stuck,
            as: "completed",
            status: 200,
            body: "forged",
            headers: null,
            note: null,
          },
        },
      ),
    ]),
    probe("credits for nothing, by nobody", anonymous, "/credits", {
      method: "POST",
      headers: { "Idempotency-Key": victim.answered },
      body: { amount: 100 },
    }),
    probe("less than no credits", strangers.writer, "/credits", {
      method: "POST",
      headers: { "Idempotency-Key": victim.answered },
      body: { amount: -100, user_id: victim.userId },
    }),
  ];
}

/** What a hosted project serves beside, and administrators alone may use. */
function throughOtherServices({ strangers, victim }: Scene): Probe[] {
  const { userId } = victim;
  const tries: [string, string, string, unknown?][] = [
    ["the list of users", "GET", "/auth/v1/admin/users"],
    ["the victim's account", "GET", `/auth/v1/admin/users/${userId}`],
    ["another password", "PUT", `/auth/v1/admin/users/${userId}`, {
      password: "stolen-stolen",
    }],
    ["the victim's end", "DELETE", `/auth/v1/admin/users/${userId}`],
    ["a link to sign in as the victim", "POST", "/auth/v1/admin/generate_link"],
    ["a stored object", "GET", `/storage/v1/object/documents/${userId}`],
    ["a list of objects", "POST", "/storage/v1/object/list/documents", {}],
    ["GraphQL", "POST", "/graphql/v1", { query: "{ __schema { types } }" }],
    ["the database's meta data", "GET", "/pg/tables"],
    ["another schema's path", "GET", "/rest/v2/idempotency_keys"],
  ];
  return tries.map(([name, method, path, body]) =>
    probe(name, strangers.reader, path, {
      method,
      ...(body === undefined ? {} : { body }),
    })
  );
}

/** Every verb on every table, by a stranger and by nobody. */
function throughTable(
  { strangers, anonymous, rows, victim }: Scene,
  { name, key, columns, refersTo, insertable, updatable, writable }: Relation,
): Probe[] {
  const path = `/rest/v1/${name}`;
  const found = rows.find(({ table }) => table === name)?.row ?? {};
  const only = (columns: readonly string[], from = found) =>
    Object.fromEntries(
      columns.filter((column) => column in from).map((
        column,
      ) => [column, from[column]]),
    );
  const first = key[0] ?? columns[0]!;
  const named = key.filter((column) => column in found).map((column) =>
    `${column}=eq.${encodeURIComponent(String(found[column]))}`
  ).join("&");
  const one = named === "" ? path : `${path}?${named}`;
  // The same row, as if the stranger's: what it refers to is the victim's still.
  const attached = JSON.parse(
    JSON.stringify(only(insertable.filter((column) => column !== "id")))
      .replaceAll(victim.userId, strangers.writer.userId),
  );
  const own: Rest = { expected: "nothing of the victim's" };
  const write = (rest: Rest): Rest => ({
    ...own,
    headers: REPRESENTATION,
    ...rest,
  });
  const beside = refersTo.map(({ table, by }) => `,${by}:${table}!${by}(*)`);
  const changes = only(updatable.length > 0 ? updatable : Object.keys(found));
  // Nothing to be changed is nothing to be refused.
  const changed = write({
    method: "PATCH",
    body: Object.keys(changes).length > 0 ? changes : { [first]: null },
  });
  const tries: [string, string, Rest][] = [
    ["all", `${path}?select=*`, own],
    ["the victim's", `${one}${one === path ? "?" : "&"}select=*`, own],
    ["the number of", `${path}?select=*`, {
      ...own,
      method: "HEAD",
      headers: { Prefer: "count=exact" },
    }],
    ["what they refer to", `${path}?select=*${beside.join("")}`, own],
  ];
  if (writable) {
    tries.push(
      [
        "an insert of the victim's",
        path,
        write({ method: "POST", body: found }),
      ],
      [
        "an insert that refers to the victim's",
        path,
        write({
          method: "POST",
          body: attached,
        }),
      ],
      [
        "an upsert of the victim's",
        path,
        write({
          method: "POST",
          headers: { Prefer: WRITTEN },
          body: only([...insertable, ...key]),
        }),
      ],
      ["a change of the victim's", one, changed],
      ["a change of all", path, changed],
      ["a delete of the victim's", one, write({ method: "DELETE" })],
      [
        "a delete of all",
        `${path}?${first}=not.is.null`,
        write({
          method: "DELETE",
        }),
      ],
    );
  }
  return tries.flatMap(([what, target, rest]) => [
    probe(
      `${name}: ${what}, by a stranger`,
      rest.method === "POST" ? strangers.writer : strangers.reader,
      target,
      rest,
    ),
    probe(`${name}: ${what}, by nobody`, anonymous, target, {
      ...rest,
      expected: "refused",
    }),
  ]);
}

/** Queries that could be read otherwise than they are meant. */
function throughQueries({ strangers, victim }: Scene): Probe[] {
  const mine = "/rest/v1/idempotency_keys?select=scope,response";
  const own: Rest = { expected: "nothing of the victim's" };
  const schemas = [
    "idempotency",
    "auth",
    "local_stack",
    "cron",
    "pg_catalog",
    "information_schema",
    'public","auth',
  ];
  const tries: [string, string, Rest][] = [
    ["an or-filter", `${mine}&or=(status.eq.completed,status.neq.x)`, own],
    ["an or-filter on the owner", `${mine}&or=(owner.eq.${victim.userId})`, {}],
    ["a negated and-filter", `${mine}&not.and=(status.eq.x,scope.eq.x)`, own],
    ["a filter on steps", `${mine}&steps->charge->>secret=not.is.null`, {}],
    ["a path into steps", "/rest/v1/idempotency_keys?select=steps->charge", {}],
    ["an aggregate", "/rest/v1/idempotency_keys?select=count()", own],
    ["an order by the owner", `${mine}&order=owner.asc`, {}],
    ["a range", mine, { ...own, headers: { Range: "0-999999" } }],
    ["a filter that is SQL", `${mine}&scope=eq.x'%20or%20true--`, own],
    ["a table that is SQL", "/rest/v1/idempotency_keys;drop table x", {}],
    [
      "a column that is SQL",
      "/rest/v1/idempotency_keys?select=owner::text",
      {},
    ],
    ["a column of the account", `${mine},auth.users(*)`, {}],
    ["an alias for a hidden column", `${mine},x:owner_token`, {}],
    ["a plan", mine, {
      ...own,
      headers: { Accept: "application/vnd.pgrst.plan+json; options=analyze" },
    }],
    ["comma-separated values", mine, {
      ...own,
      headers: { Accept: "text/csv" },
    }],
    ["an object", mine, {
      ...own,
      headers: { Accept: "application/vnd.pgrst.object+json" },
    }],
    ["a transaction that is to be kept", mine, {
      ...own,
      headers: { Prefer: "tx=commit" },
    }],
    [
      "members along with their organisation",
      `/rest/v1/organizations?id=eq.${victim.organization}&select=*,organization_members(*)`,
      own,
    ],
    [
      "an organisation by way of its members",
      "/rest/v1/organization_members?select=*,organizations!inner(*)",
      own,
    ],
    [
      "lines by way of their sale",
      "/rest/v1/sales?select=*,sale_lines(*),businesses(*,memberships(*))",
      own,
    ],
    ["archived rows", "/rest/v1/quotations?select=*", {
      ...own,
      headers: { "X-Include-Archived": "true" },
    }],
    ["a batch of inserts", "/rest/v1/organization_members", {
      method: "POST",
      body: ["owner", "admin", "member"].map((role) => ({
        organization_id: victim.organization,
        user_id: strangers.writer.userId,
        role,
      })),
    }],
    [
      "an insert of columns that are named",
      "/rest/v1/credit_entries?columns=user_id,amount",
      {
        method: "POST",
        body: [{ user_id: strangers.writer.userId, amount: 100 }],
      },
    ],
    [
      "an insert that ignores duplicates",
      "/rest/v1/idempotency_keys?on_conflict=owner,scope,idempotency_key",
      {
        method: "POST",
        headers: { Prefer: "resolution=ignore-duplicates" },
        body: { owner: victim.userId, scope: "probe" },
      },
    ],
  ];
  return [
    ...tries.map(([name, path, rest]) =>
      probe(
        name,
        rest.method === "POST" ? strangers.writer : strangers.reader,
        path,
        rest,
      )
    ),
    ...schemas.flatMap((schema) => [
      probe(
        `the schema ${schema}`,
        strangers.reader,
        "/rest/v1/users?select=*",
        {
          headers: { "Accept-Profile": schema },
        },
      ),
      probe(
        `a call in the schema ${schema}`,
        strangers.reader,
        "/rest/v1/rpc/version",
        {
          method: "POST",
          headers: { "Content-Profile": schema },
          body: {},
        },
      ),
    ]),
  ];
}

/** What a parameter is given, by how it is meant to do harm. */
const VALUES: Record<
  string,
  (scene: Scene, name: string, type: string) => unknown
> = {
  "about the victim": aboutVictim,
  "of nulls": () => null,
  "out of order": (_scene, _name, type) =>
    type.endsWith("[]")
      ? ["owner", "'; drop table public.businesses; --"]
      : /json/.test(type)
      ? JSON.parse(`${"[".repeat(200)}${"]".repeat(200)}`)
      : /int|numeric/.test(type)
      ? -1
      : type === "boolean"
      ? "perhaps"
      : "'; drop table public.idempotency_keys; --",
  "without measure": (_scene, _name, type) =>
    type.endsWith("[]")
      ? Array(5_000).fill("owner")
      : /json/.test(type)
      ? { wide: "x".repeat(200_000) }
      : /int|numeric/.test(type)
      ? 99_999_999_999
      : type === "boolean"
      ? true
      : "9".repeat(100_000),
};

/** Every function of the catalogue, by a stranger and by nobody. */
function byCalling(scene: Scene, procedure: Procedure): Probe[] {
  const { name, parameters, anon, authenticated } = procedure;
  const { strangers, anonymous } = scene;
  return Object.entries(VALUES).flatMap(([how, value]) => {
    const body = Object.fromEntries(
      parameters.map((each) => [
        each.name,
        value(scene, each.name, each.type),
      ]),
    );
    const may = (granted: boolean): Probe["expected"] =>
      granted ? "nothing of the victim's" : "refused";
    const rest = { method: "POST", body };
    const target = `/rest/v1/rpc/${name}`;
    return [
      probe(
        `${name}() with arguments ${how}, by a stranger`,
        strangers.caller,
        target,
        {
          ...rest,
          expected: may(authenticated),
        },
      ),
      probe(`${name}() with arguments ${how}, by nobody`, anonymous, target, {
        ...rest,
        expected: may(anon),
      }),
    ];
  });
}

/** What is the victim's and fits a parameter, by its name and type. */
function aboutVictim(
  { victim, rows }: Scene,
  name: string,
  type: string,
): unknown {
  const word = name.replace(/^p_/, "").replace(/_ids?$/, "");
  const isList = type.endsWith("[]");
  const wrap = (value: unknown) => isList ? [value] : value;
  if (/uuid|record/.test(type)) {
    if (/user|owner|caller|account/.test(word)) return wrap(victim.userId);
    if (/token/.test(word)) return crypto.randomUUID();
    if (/organi[sz]ation/.test(word)) return wrap(victim.organization);
    const table = rows.find(({ table }) =>
      table.replace(/^crm_/, "").replace(/ies$/, "y").replace(/e?s$/, "") ===
        word.split("_").at(-1)
    );
    return wrap(table?.row["id"] ?? victim.organization);
  }
  if (/json/.test(type)) {
    if (/requests|settlements/.test(word)) {
      return [{
        key: victim.answered,
        owner_token: crypto.randomUUID(),
        fingerprint: "a".repeat(64),
        error_message: "forged",
      }];
    }
    return {
      user_id: victim.userId,
      businessId: rows.find(({ table }) => table === "businesses")?.row["id"],
      organization_id: victim.organization,
      id: rows.find(({ table }) => table === "quotations")?.row["id"],
    };
  }
  if (/int|numeric/.test(type)) return 1;
  if (type === "boolean") return true;
  if (/timestamp|date/.test(type)) return "2027-01-01";
  if (word === "owner") return victim.userId;
  if (word === "scope" || word === "operation") return "probe";
  if (word === "idempotency_key" || word === "request") return victim.answered;
  if (word === "fingerprint") return "a".repeat(64);
  if (word === "resolution") return "completed";
  return wrap(`of ${victim.userId}`);
}
