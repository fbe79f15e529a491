import { createHmac } from "node:crypto";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import openapi from "../../../functions/crm/openapi.json" with { type: "json" };
import {
  type Edit,
  edited,
  edits,
  noJson,
  oddJson,
  oddText,
  type Schema,
  valueOf,
} from "./odd.ts";
import { bytesOf, type Framing, type RawRequest } from "./wire.ts";

/** A route, as far as odd requests have to know it. */
export interface FuzzedRoute {
  readonly method: string;
  /** From the root, with `{id}`. */
  readonly path: string;
  readonly schema: Schema | undefined;
  /** Names of the parameters in its query. */
  readonly query: readonly string[];
  /** What a body is, where it is no JSON. */
  readonly type?: string;
  /** Whom it lets in. */
  readonly caller: Caller;
}

type Caller = "user" | "secret" | "nobody" | "forged" | "signature";

interface Operation {
  readonly security?: readonly Readonly<Record<string, unknown>>[];
  readonly parameters?: readonly {
    name?: string;
    in?: string;
    $ref?: string;
  }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { schema: Schema }>>;
  };
}

const schemas = openapi.components.schemas as Record<string, Schema>;

function resolved(schema: Schema | undefined): Schema | undefined {
  const name = schema?.$ref?.split("/").at(-1);
  return name === undefined ? schema : schemas[name];
}

const documented: FuzzedRoute[] = Object.entries(openapi.paths).flatMap(
  ([path, operations]) =>
    Object.entries(operations as unknown as Record<string, Operation>)
      .filter(([method]) => method !== "parameters")
      .map(([method, { parameters = [], requestBody, security }]) => {
        const content = requestBody?.content ?? {};
        const [type] = Object.keys(content);
        const stated = JSON.stringify(security ?? []);
        return {
          method: method.toUpperCase(),
          path: `/functions/v1${path}`,
          schema: resolved(content["application/json"]?.schema),
          query: [
            ...parameters.flatMap((one) => one.in === "query" ? one.name! : []),
            "include_archived",
          ],
          ...(type === undefined || type === "application/json" ||
              "application/json" in content
            ? {}
            : { type }),
          caller: path === "/stripe-webhook"
            ? "signature"
            : stated.includes("secretKey")
            ? "secret"
            : "user",
        };
      }),
);

// What no document lists: the functions that refuse, the pages and their parts.
const others: FuzzedRoute[] = [
  ...[
    "/",
    "/try",
    "/try.js",
    "/events",
    "/till",
    "/till/shop.js",
    "/quotations",
    "/ops",
    "/ops/",
    "/ops/ops.js",
    "/client.js",
    "/openapi.json",
    "/nothing",
    "/functions/v1",
    "/functions/v1/",
    "/functions/v1/nothing",
    "/functions/v1/_health",
    "/functions/v1/crm/openapi.json",
    "/functions/v1/crm/nothing",
    "/functions/v1/pos/nothing",
    "/functions/v1/events/{id}/nothing",
  ].map((path) => ["GET", path]),
  ...[
    "/credits",
    "/ops/api/statistics",
    "/ops/api/recent",
    "/ops/api/resolve",
    "/functions/v1/process-document-unprotected",
  ].map((path) => ["POST", path]),
].map(([method, path]) => ({
  method: method!,
  path: path!,
  schema: undefined,
  query: [],
  caller: "user",
}));

/** Every route of the local stack that is this repository's. */
export const routes: readonly FuzzedRoute[] = [...documented, ...others];

/** An odd request, before it is known which rows there are. */
export interface OddRequest {
  readonly route: FuzzedRoute;
  readonly method: string;
  readonly caller: Caller;
  readonly path: string | null;
  readonly query: readonly (readonly [string, string])[];
  readonly key: readonly (readonly [string, string])[];
  readonly headers: readonly (readonly [string, string])[];
  readonly type: string | null;
  readonly body: OddBody;
  readonly framing: Framing;
  readonly encoding: "none" | "gzip" | "no gzip";
}

type OddBody =
  | { readonly as: "right" }
  | { readonly as: "edited"; readonly changes: readonly Edit[] }
  | { readonly as: "overlaid"; readonly fields: unknown }
  | { readonly as: "bytes"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly as: "none" };

const METHODS = [
  ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"],
  ...["CONNECT", "PROPFIND", "get", "QUERY", "X", "M-SEARCH"],
];

function utf8(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

const oddHeaderValue = fc.oneof(
  fc.constantFrom(
    ...["", " ", ",", ";", "*", '"', '"a', '"a"', "a\tb", "\xe9", utf8("😀")],
    ...["a\0b", "a\rb", "\x7f", "-1", "1e9", "NaN", "null", "[object Object]"],
    ...["x".repeat(1_000), "x".repeat(9_000), "a,".repeat(2_000)],
  ),
  fc.string({ unit: "binary-ascii", maxLength: 30 })
    .map((text) => text.replaceAll(/[\r\n]/g, "")),
);

const key = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.uuid().map((id) => [["Idempotency-Key", `k-${id}`]]),
  },
  { weight: 2, arbitrary: fc.constant([]) },
  {
    // Keys that come again, of other requests mostly.
    weight: 1,
    arbitrary: fc.nat(20).map((n) => [["Idempotency-Key", `again-${n}`]]),
  },
  {
    weight: 3,
    arbitrary: fc.array(
      fc.tuple(
        fc.constantFrom(
          "Idempotency-Key",
          "X-Idempotency-Key",
          "idempotency-key",
        ),
        fc.oneof(
          fc.constantFrom(
            ...[
              '"order-17"',
              '"or\\"der"',
              '"order',
              '"order";a=1',
              "order-17",
            ],
            ...['"ordér"', utf8('"ordér"'), "o", "or der", "a, b", '"a", "b"'],
            ...["?1", "1.5", "(a b)", ":AAAA:", '%"x"', "@1", "order;a", '""'],
            ...["k".repeat(256), "k".repeat(257), `"${"k".repeat(256)}"`],
            ...['"a\\b"', "__proto__", "toString", "key\0", "%6bey"],
          ),
          oddHeaderValue,
        ),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  },
) as fc.Arbitrary<[string, string][]>;

const header = fc.oneof(
  fc.tuple(
    fc.constantFrom("Accept"),
    fc.constantFrom(
      ...[
        "application/json",
        "*/*",
        "text/html",
        "application/json;q=0",
        ";q=",
      ],
      ...["application/problem+json, application/json", "a/b/c;;;", ""],
    ),
  ),
  fc.tuple(
    fc.constantFrom("Accept-Language"),
    fc.constantFrom("ru", "ru-RU, en;q=0.8", "*;q=0", "ru;q=x", "-", ",,;"),
  ),
  fc.tuple(
    fc.constantFrom("If-Match"),
    fc.constantFrom('"1"', 'W/"1"', "*", "1", '"1","2"', '"9999999999"', ","),
  ),
  fc.tuple(
    fc.constantFrom("X-Organization-Id"),
    fc.oneof(fc.uuid(), fc.constantFrom("", "x", "null", "{}")),
  ),
  fc.tuple(
    fc.constantFrom("traceparent"),
    fc.constantFrom(
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      "00-00000000000000000000000000000000-0000000000000000-00",
      "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
      "00",
    ),
  ),
  fc.tuple(
    fc.constantFrom(
      ...["Accept", "Accept-Language", "If-Match", "X-Organization-Id"],
      ...["traceparent", "tracestate", "baggage", "X-Trace-Id", "Cookie"],
      ...["X-Correlation-Id", "Origin", "Range", "Accept-Encoding", "Prefer"],
      ...["X-Client-Info", "X-HTTP-Method-Override", "X-Forwarded-Host", "Via"],
      ...["X-Forwarded-For", "Stripe-Signature", "X-Ops-Token", "Upgrade"],
      ...[
        "Sec-Fetch-Site",
        "Access-Control-Request-Method",
        "__proto__",
        "Host",
      ],
      ...["Access-Control-Request-Headers", "X-Probe-Config", "Expect", "TE"],
      ...["Authorization", "apikey", "X-Region", "constructor", "Trailer"],
      ...["bad name", ""],
    ),
    oddHeaderValue,
  ),
  fc.constant(["Expect", "100-continue"]),
) as fc.Arbitrary<[string, string]>;

const type = fc.oneof(
  { weight: 12, arbitrary: fc.constant(null) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...["", "text/plain", "application/JSON", "application/problem+json"],
      ...["application/json; charset=utf-16", "application/json;charset=x"],
      ...["multipart/form-data", "multipart/form-data; boundary=", "text/csv"],
      ...['multipart/form-data; boundary="', "multipart/form-data; boundary=b"],
      ...["application/x-www-form-urlencoded", "application/octet-stream"],
      ...["application/json, text/csv", "a/b;;;;", ";", "\xe9", "text"],
      `application/json;${"x".repeat(5_000)}`,
      `multipart/form-data; boundary=${"b".repeat(5_000)}`,
    ),
  },
);

const framing = fc.oneof(
  { weight: 30, arbitrary: fc.constant("length") },
  { weight: 4, arbitrary: fc.constant("chunked") },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...["slow", "cut", "cut chunk", "gone", "too long"],
      ...["no number", "no chunk", "twice"],
    ),
  },
) as fc.Arbitrary<Framing>;

const oddSegment = fc.oneof(
  fc.constantFrom(
    ...[
      "%00",
      "%2f",
      "%2F..",
      "..",
      ".",
      "%2e%2e",
      "%",
      "%zz",
      "%ff",
      "%c0%80",
    ],
    ...["%ed%a0%80", utf8("😀"), "\xff", "a b", "x".repeat(5_000), "\\", "'"],
    ...["0", "null", "*", "{id}", ":id", "__proto__", ";", "%0d%0a", "\0", "#"],
    ...["00000000-0000-0000-0000-000000000000", "%F0%9F%98%80", "a%20b", "@"],
    ...["%3f", "%23", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", ",", "(1)", "="],
  ),
  oddText.map((text) => encodeURIComponent(text.toWellFormed()).slice(0, 500)),
);

function oddPath(path: string): fc.Arbitrary<string | null> {
  const parts = path.split("/");
  return fc.oneof(
    { weight: 10, arbitrary: fc.constant(null) },
    {
      weight: 2,
      arbitrary: fc.tuple(
        fc.integer({ min: path.includes("{id}") ? 4 : 1, max: parts.length }),
        oddSegment,
      ).map(([at, segment]) =>
        parts.map((part, index) => index === at ? segment : part)
          .concat(at >= parts.length ? segment : []).join("/")
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        `${path}/`,
        `/${path}`,
        `${path}//`,
        `${path}?`,
        `http://127.0.0.1${path}`,
        `http://[::1${path}`,
        `${path}#x`,
        "*",
        "",
        "127.0.0.1:80",
        `/x/..${path}`,
        path.toUpperCase(),
      ),
    },
  );
}

// The Data API of the local stack takes those for no texts, as PostgREST does not.
const NO_TEXT = /^(?:true|false|null|unknown)$/i;

function oddQuery(
  names: readonly string[],
): fc.Arbitrary<readonly (readonly [string, string])[]> {
  const name = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom("limit", ...names) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...[
          "cursor",
          "confirm_credit",
          "hard",
          "__proto__",
          "",
          "select",
          "or",
        ],
        ...["forceFunctionRegion", "include_archived", "order", "offset"],
      ),
    },
  );
  const value = fc.oneof(
    {
      weight: 2,
      arbitrary: fc.constantFrom("1", "50", "desc", "sent"),
    },
    {
      weight: 4,
      arbitrary: oddText.filter((text) => !NO_TEXT.test(text.trim())).map((
        text,
      ) => encodeURIComponent(text.toWellFormed()).slice(0, 6_000)),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom("%", "%zz", "%ff", "%ed%a0%80", "+", "a&b=c"),
    },
    { weight: 1, arbitrary: fc.integer().map(String) },
    {
      // As a list tells where its next page begins.
      weight: 1,
      arbitrary: fc.tuple(oddText, oddText).map((place) => {
        const text = utf8(JSON.stringify(place).slice(0, 140));
        return encodeURIComponent(btoa(text));
      }),
    },
  );
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.constant([["include_archived", "true"] as const]),
    },
    {
      weight: 2,
      arbitrary: fc.array(fc.tuple(name, value), {
        minLength: 1,
        maxLength: 3,
      }),
    },
  );
}

function oddBody({ schema, type }: FuzzedRoute): fc.Arbitrary<OddBody> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant({ as: "right" as const }) },
    {
      weight: 6,
      arbitrary: edits.map((changes) => ({ as: "edited" as const, changes })),
    },
    {
      weight: schema === undefined ? 0 : 5,
      arbitrary: valueOf(schema ?? {})
        .map((fields) => ({ as: "overlaid" as const, fields })),
    },
    {
      weight: 1,
      arbitrary: oddJson.map((text) => ({
        as: "bytes" as const,
        bytes: new TextEncoder().encode(text),
      })),
    },
    {
      weight: type === undefined ? 1 : 6,
      arbitrary: noJson.map((bytes) => ({ as: "bytes" as const, bytes })),
    },
    {
      weight: type === "text/csv" ? 8 : 0,
      arbitrary: fc.array(
        fc.array(fc.oneof(oddText, fc.constantFrom("TEA-1", "12", '"')), {
          minLength: 1,
          maxLength: 3,
        }).map((cells) => cells.join()),
        { maxLength: 4 },
      ).map((lines) => ({
        as: "bytes" as const,
        bytes: new TextEncoder().encode(
          ["sku,counted", ...lines].join("\n"),
        ),
      })),
    },
    { weight: 1, arbitrary: fc.constant({ as: "none" as const }) },
  );
}

/** A form with one file in it, and what may be odd about it. */
const form: fc.Arbitrary<OddBody> = fc.tuple(
  fc.oneof(
    fc.constantFrom(
      ...["a.md", "a.csv", "a.html", "a.txt", "a.pdf", "a.docx", "", "a", "\\"],
      ...["a\0.md", "x".repeat(500), "..", utf8("😀.md"), "\xff.md", '".md'],
    ),
  ),
  fc.constantFrom(
    ...["", "text/markdown", "text/csv", "text/html", "application/pdf", "x"],
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  ),
  fc.oneof(
    oddText.map(utf8Bytes),
    fc.uint8Array({ maxLength: 500 }),
    fc.constantFrom("%PDF-1.7\n", "PK\x03\x04", "# Guide\n\nText", "<p>a</p>")
      .map((text) => bytesOf(text)),
    fc.tuple(
      fc.constantFrom("%PDF-1.7\n", "PK\x03\x04", "a,b\n1,2\n", "<p>"),
      fc.uint8Array({ maxLength: 300 }),
    ).map(([start, rest]) => new Uint8Array([...bytesOf(start), ...rest])),
  ),
  fc.constantFrom("file", "file", "file", "files", "", "__proto__"),
  fc.constantFrom("\r\n--b--\r\n", "\r\n--b--\r\n", "\r\n--b\r\n", "", "--b--"),
).map(([name, type, content, field, end]) => ({
  as: "bytes" as const,
  bytes: new Uint8Array([
    ...bytesOf(
      `--b\r\nContent-Disposition: form-data; name="${field}"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n`,
    ),
    ...content,
    ...bytesOf(end),
  ]),
}));

function utf8Bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Odd requests to any of the routes, and forms with a file to one of them. */
export function oddRequests(
  routes: readonly FuzzedRoute[],
  formTo: FuzzedRoute,
): fc.Arbitrary<OddRequest> {
  return fc.oneof(
    {
      weight: 30,
      arbitrary: fc.constantFrom(...routes).chain((route) =>
        requestTo(route, oddBody(route), type)
      ),
    },
    {
      weight: 1,
      arbitrary: requestTo(
        formTo,
        form,
        fc.constant("multipart/form-data; boundary=b"),
      ),
    },
  );
}

function requestTo(
  route: FuzzedRoute,
  body: fc.Arbitrary<OddBody>,
  type: fc.Arbitrary<string | null>,
): fc.Arbitrary<OddRequest> {
  return fc.record({
    route: fc.constant(route),
    method: fc.oneof(
      { weight: 15, arbitrary: fc.constant(route.method) },
      { weight: 1, arbitrary: fc.constantFrom(...METHODS) },
    ),
    caller: fc.oneof(
      { weight: 15, arbitrary: fc.constant(route.caller) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          ...["user", "secret", "nobody", "forged"] as const,
        ),
      },
    ),
    path: oddPath(route.path),
    query: oddQuery(route.query),
    key,
    headers: fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      {
        weight: 1,
        arbitrary: fc.array(header, { minLength: 1, maxLength: 3 }),
      },
    ),
    type,
    body,
    framing,
    encoding: fc.oneof(
      { weight: 30, arbitrary: fc.constant("none" as const) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(...["gzip", "no gzip"] as const),
      },
    ),
  });
}

/** A request that is right: which rows and users there are. */
export interface Right {
  /** From the root. */
  readonly path: string;
  readonly body: unknown;
  readonly type: string;
}

/** What each kind of caller sends along. */
export type Credentials = Readonly<
  Record<Exclude<Caller, "signature">, Readonly<Record<string, string>>>
>;

/** Signs what Stripe would have sent. */
export function signedBy(secret: string, body: Uint8Array): string {
  const at = Math.floor(Date.now() / 1000);
  const sum = createHmac("sha256", secret).update(`${at}.`).update(body);
  return `t=${at},v1=${sum.digest("hex")}`;
}

/** An odd request as it goes over the wire, made of one that is right. */
export function toRaw(
  odd: OddRequest,
  right: Right,
  credentials: Credentials,
  stripeSecret: string,
): RawRequest {
  const body = bodyOf(odd.body, right);
  const packed = body !== null && odd.encoding === "gzip"
    ? new Uint8Array(gzipSync(body))
    : body;
  const path = odd.path === null
    ? right.path
    : odd.path.replaceAll("{id}", idIn(right.path));
  const query = odd.query.map(([name, value]) => `${name}=${value}`).join("&");
  const caller = odd.caller === "signature"
    ? { "Stripe-Signature": signedBy(stripeSecret, packed ?? new Uint8Array()) }
    : credentials[odd.caller];
  return {
    method: odd.method,
    target: query === "" ? path : `${path}?${query}`,
    headers: [
      ...Object.entries(caller),
      ...odd.key,
      ...(packed === null
        ? []
        : [["Content-Type", odd.type ?? right.type] as const]),
      ...(odd.encoding === "none"
        ? []
        : [["Content-Encoding", "gzip"] as const]),
      ...odd.headers,
    ],
    body: packed,
    framing: odd.framing,
  };
}

function idIn(path: string): string {
  return /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(path)?.[0] ??
    "00000000-0000-4000-8000-000000000000";
}

function bodyOf(
  odd: OddBody,
  { body }: Right,
): Uint8Array<ArrayBuffer> | null {
  const bytes = (text: string) => new TextEncoder().encode(text);
  switch (odd.as) {
    case "none":
      return null;
    case "bytes":
      return odd.bytes;
    case "right":
      return body === undefined ? null : bytes(textOf(body));
    case "edited":
      return bytes(edited(body ?? {}, odd.changes));
    case "overlaid": {
      const fields = odd.fields as Record<string, unknown>;
      const isObject = typeof body === "object" && body !== null;
      return bytes(textOf(isObject ? { ...body, ...fields } : fields));
    }
  }
}

function textOf(body: unknown): string {
  return typeof body === "string" ? body : JSON.stringify(body) ?? "";
}
