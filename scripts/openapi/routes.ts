import { z } from "zod";
import { GenerateRequest } from "../../functions/generate-training-data/index.ts";
import {
  ConsentQuery,
  CreateRequest as EventRequest,
  ListQuery as EventsQuery,
  ReadQuery as EventQuery,
  UpdateRequest as EventChanges,
} from "../../functions/events/requests.ts";
import { StatusRequest } from "../../functions/idempotency-status/index.ts";
import { writes } from "../../functions/pos/requests.ts";
import { JsonRequest } from "../../functions/process-document/index.ts";
import {
  ListRequest,
  RecognitionRequest,
  ShareRequest,
} from "../../functions/recognitions/index.ts";
import { ReserveRequest } from "../../functions/reserve-gpu/index.ts";
import { StartRequest } from "../../functions/start-training/index.ts";
import { AuditEntry } from "../../functions/crm/resource_store.ts";
import type { ResourceType } from "../../functions/crm/resource.ts";
import { resources } from "../../functions/crm/resources.ts";
import {
  Query as QuotationQuery,
  QuotationChanges,
  StatusChange,
  WholeQuotation,
} from "../../functions/quotations/requests.ts";
import { STATUSES } from "../../functions/quotations/quotation.ts";
import { pageQuery } from "../../functions/_kit/paging.ts";
import type { Route } from "./route.ts";

/** Every route of every function, in the order of their names. */
export const routes: readonly Route[] = [
  {
    method: "post",
    path: "/cleanup-idempotency",
    tag: "idempotency",
    summary: "Deletes expired keys, for a scheduler",
    auth: "secret",
    status: 200,
  },
  ...crm(),
  ...events(),
  {
    method: "post",
    path: "/generate-training-data",
    tag: "training",
    summary: "Makes a data set of processed documents",
    auth: "user",
    body: GenerateRequest,
    keys: { scope: "generate-training-data", enforcement: "optional" },
    status: 200,
  },
  {
    method: "get",
    path: "/health",
    tag: "idempotency",
    summary: "Says whether the ledger is in order, for uptime checks",
    auth: "nobody",
    status: 200,
  },
  {
    method: "get",
    path: "/idempotency-status",
    tag: "idempotency",
    summary: "Says what became of a key of the caller's",
    auth: "user",
    query: StatusRequest,
    status: 200,
  },
  ...writes.map(({ operation, body }): Route => ({
    method: "post",
    path: `/${operation.replace(/:(\w+)/g, "{$1}")}`,
    tag: "pos",
    summary: `Does ${operation} in one transaction`,
    auth: "user",
    ...(body === undefined
      ? {}
      : body === "csv"
      ? { csv: "sku,counted\nTEA-1,12\n" }
      : { body }),
    keys: { scope: operation, enforcement: "required" },
    status: /sales$|\/refund$|\/counts$/.test(operation) ? 201 : 200,
  })),
  {
    method: "get",
    path: "/pos/locations/{id}/stock",
    tag: "pos",
    summary: "Lists what is in stock at a location",
    auth: "user",
    status: 200,
  },
  {
    method: "get",
    path: "/pos/sales/{id}",
    tag: "pos",
    summary: "Reads a sale",
    auth: "user",
    status: 200,
  },
  {
    method: "post",
    path: "/process-document",
    tag: "training",
    summary: "Extracts the text of a document, uploaded or stored",
    auth: "user",
    body: JsonRequest,
    form: true,
    keys: { scope: "process-document", enforcement: "optional" },
    status: 200,
  },
  ...quotations(),
  {
    method: "get",
    path: "/recognitions",
    tag: "recognitions",
    summary: "Lists recognitions, sent, received or shared",
    auth: "user",
    query: ListRequest,
    status: 200,
  },
  {
    method: "post",
    path: "/recognitions",
    tag: "recognitions",
    summary: "Sends a recognition",
    auth: "user",
    body: RecognitionRequest,
    keys: { scope: "recognitions", enforcement: "optional" },
    status: 201,
  },
  {
    method: "post",
    path: "/recognitions/{id}/shares",
    tag: "recognitions",
    summary: "Shares a recognition with a colleague",
    auth: "user",
    body: ShareRequest,
    keys: { scope: "recognitions/:id/shares", enforcement: "optional" },
    status: 201,
  },
  {
    method: "post",
    path: "/reserve-gpu",
    tag: "training",
    summary: "Reserves hours of a pool, key and effect in one transaction",
    auth: "user",
    body: ReserveRequest,
    keys: { scope: "reserve-gpu", enforcement: "required" },
    status: 201,
  },
  {
    method: "post",
    path: "/start-training",
    tag: "training",
    summary: "Starts a training job at the provider",
    auth: "user",
    body: StartRequest,
    keys: { scope: "start-training", enforcement: "optional" },
    status: 202,
  },
  {
    method: "post",
    path: "/stripe-webhook",
    tag: "payments",
    summary: "Books a payment, once for each event of Stripe's",
    auth: "signature",
    status: 200,
  },
];

/** The routes that every resource of the CRM has. */
function crm(): Route[] {
  const ofResources = Object.entries(resources).flatMap((
    [name, type]: [string, ResourceType],
  ): Route[] => {
    const list = `/crm/${name}`;
    const one = `${list}/{id}`;
    const what = type.one.replace(/^an? /, "");
    const answer = { name: pascal(name), schema: type.shown };
    const shared = {
      tag: name,
      auth: "user",
      organizations: true,
    } as const;
    const keys = (path: string) => ({
      scope: path.slice(1).replace("{id}", ":id"),
      enforcement: type.enforcement,
    });
    const write = {
      body: type.whole,
      bodyName: `${answer.name}Whole`,
      ...(type.rules === undefined ? {} : { description: `${type.rules}.` }),
    };
    return [
      {
        ...shared,
        method: "get",
        path: list,
        summary: `Lists ${name.replaceAll("_", " ")}, the newest first`,
        query: type.query.extend(pageQuery),
        archived: true,
        status: 200,
        answer: {
          name: `${answer.name}List`,
          schema: z.object({
            [name]: z.array(type.shown),
            nextCursor: z.string().nullable(),
          }),
        },
      },
      {
        ...shared,
        ...write,
        method: "post",
        path: list,
        summary: `Creates ${type.one}`,
        keys: keys(list),
        status: 201,
        answer,
      },
      {
        ...shared,
        method: "get",
        path: one,
        summary: `Reads ${type.one}`,
        archived: true,
        status: 200,
        answer,
      },
      {
        ...shared,
        ...write,
        method: "put",
        path: one,
        summary: `Replaces all fields of ${type.one}`,
        versions: true,
        keys: keys(one),
        status: 200,
        answer,
      },
      {
        ...shared,
        ...write,
        method: "patch",
        path: one,
        summary: `Changes some fields of ${type.one}`,
        body: type.changes,
        bodyName: `${answer.name}Changes`,
        versions: true,
        keys: keys(one),
        status: 200,
        answer,
      },
      {
        ...shared,
        method: "delete",
        path: one,
        summary: `Archives ${type.one}`,
        versions: true,
        keys: keys(one),
        status: 200,
        answer,
      },
      {
        ...shared,
        method: "post",
        path: `${one}/restore`,
        summary: `Restores ${type.one}`,
        versions: true,
        keys: keys(`${one}/restore`),
        status: 200,
        answer,
      },
      {
        ...shared,
        method: "get",
        path: `${one}/history`,
        summary: `Tells what became of ${type.one}: who changed what, when`,
        description: `The ${what} may be archived.`,
        status: 200,
        answer: {
          name: "History",
          schema: z.object({ history: z.array(AuditEntry) }),
        },
      },
    ];
  });
  return [...ofResources, {
    method: "get",
    path: "/crm/openapi.json",
    tag: "idempotency",
    summary: "This document",
    auth: "user",
    status: 200,
  }];
}

function events(): Route[] {
  const shared = { tag: "events", auth: "user" } as const;
  const keys = (scope: string) => ({ scope, enforcement: "required" }) as const;
  const asks =
    "409 CREDIT_CONFIRMATION_REQUIRED says what it costs; send the same request with the same key and ?confirm_credit=1&max_cost=… to have it done.";
  const one = "/events/{id}";
  return [
    {
      ...shared,
      method: "get",
      path: "/events",
      summary: "Lists the caller's events",
      query: EventsQuery,
      status: 200,
    },
    {
      ...shared,
      method: "post",
      path: "/events",
      summary: "Creates an event, for credits where the plan does not cover it",
      description: asks,
      query: ConsentQuery,
      body: EventRequest,
      examples: [
        { title: "Summer party", startsAt: "2027-06-21T18:00:00Z" },
        { title: "Winter party", startsAt: "2027-12-21T18:00:00Z" },
      ],
      keys: keys("events"),
      status: 201,
    },
    {
      ...shared,
      method: "get",
      path: one,
      summary: "Reads an event",
      query: EventQuery,
      status: 200,
    },
    {
      ...shared,
      method: "patch",
      path: one,
      summary: "Changes an event, for credits where it comes to cost more",
      description: asks,
      query: ConsentQuery,
      body: EventChanges,
      keys: keys("events/:id"),
      status: 200,
    },
    {
      ...shared,
      method: "delete",
      path: one,
      summary: "Archives an event",
      keys: keys("events/:id"),
      status: 200,
    },
    {
      ...shared,
      method: "post",
      path: `${one}/cancel`,
      summary: "Cancels an event",
      keys: keys("events/:id/cancel"),
      status: 200,
    },
    {
      ...shared,
      method: "post",
      path: `${one}/restore`,
      summary: "Restores an event",
      keys: keys("events/:id/restore"),
      status: 200,
    },
  ];
}

function quotations(): Route[] {
  const Line = z.object({
    description: z.string(),
    quantity: z.number(),
    unitPriceMinor: z.int(),
    taxBasisPoints: z.int(),
    netMinor: z.int(),
    taxMinor: z.int(),
  });
  const Summary = z.object({
    id: z.guid(),
    organizationId: z.guid().nullable(),
    status: z.enum(STATUSES),
    version: z.int(),
    customerName: z.string(),
    currency: z.string(),
    validUntil: z.iso.date().nullable(),
    netMinor: z.int(),
    taxMinor: z.int(),
    totalMinor: z.int(),
    createdAt: z.string(),
    updatedAt: z.string(),
    archivedAt: z.string().nullable(),
  });
  const answer = {
    name: "Quotation",
    schema: Summary.extend({ lines: z.array(Line) }),
  };
  const shared = {
    tag: "quotations",
    auth: "user",
    organizations: true,
  } as const;
  const lines = [{ description: "Brass", quantity: 3, unitPriceMinor: 1_050 }];
  const whole = {
    body: WholeQuotation,
    bodyName: "QuotationWhole",
    examples: [
      { customerName: "Analytical Engines Ltd", currency: "EUR", lines },
      { customerName: "Difference Engines Ltd", currency: "EUR", lines },
    ],
  };
  const keys = (scope: string) => ({ scope, enforcement: "warn" }) as const;
  const one = "/quotations/{id}";
  return [
    {
      ...shared,
      method: "get",
      path: "/quotations",
      summary: "Lists quotations, without lines, the newest first",
      query: QuotationQuery,
      archived: true,
      status: 200,
      answer: {
        name: "QuotationList",
        schema: z.object({
          quotations: z.array(Summary),
          nextCursor: z.string().nullable(),
        }),
      },
    },
    {
      ...shared,
      ...whole,
      method: "post",
      path: "/quotations",
      summary: "Creates a draft",
      keys: keys("quotations"),
      status: 201,
      answer,
    },
    {
      ...shared,
      method: "get",
      path: one,
      summary: "Reads a quotation",
      archived: true,
      status: 200,
      answer,
    },
    {
      ...shared,
      ...whole,
      method: "put",
      path: one,
      summary: "Replaces a draft",
      versions: true,
      keys: keys("quotations/:id"),
      status: 200,
      answer,
    },
    {
      ...shared,
      method: "patch",
      path: one,
      summary: "Changes a draft; lines replace all lines",
      body: QuotationChanges,
      bodyName: "QuotationChanges",
      examples: [{ customerName: "C. Babbage" }, { customerName: "A. King" }],
      versions: true,
      keys: keys("quotations/:id"),
      status: 200,
      answer,
    },
    {
      ...shared,
      method: "delete",
      path: one,
      summary: "Archives a quotation",
      versions: true,
      keys: keys("quotations/:id"),
      status: 200,
      answer,
    },
    {
      ...shared,
      method: "post",
      path: `${one}/restore`,
      summary: "Restores a quotation",
      versions: true,
      keys: keys("quotations/:id/restore"),
      status: 200,
      answer,
    },
    ...(["post", "patch"] as const).map((method): Route => ({
      ...shared,
      method,
      path: `${one}/status`,
      summary: "Changes the status of a quotation",
      body: StatusChange,
      bodyName: "QuotationStatus",
      examples: [{ status: "sent" }, { status: "accepted" }],
      versions: true,
      keys: { ...keys("quotations/:id/status"), shared: true },
      status: 200,
      answer,
    })),
  ];
}

/** `daily_tours` is `DailyTours`. */
function pascal(name: string): string {
  return name.replaceAll(
    /(?:^|_)([a-z])/g,
    (_, letter: string) => letter.toUpperCase(),
  );
}
