import { assertEquals } from "@std/assert";
import type { Stack } from "../../scripts/stack/stack.ts";
import type { Actor } from "./stack.ts";

/** A request to an edge function. */
export interface Call {
  /** A form as it is, text as JSON as it is, anything else as JSON. */
  body?: unknown;
  /** The key; without one the header is left out. */
  key?: string;
  /** @default {"POST"} */
  method?: string;
  /** Further headers. */
  headers?: Record<string, string>;
}

/** The answer of an edge function, its body read. */
export interface CallAnswer {
  status: number;
  headers: Headers;
  // deno-lint-ignore no-explicit-any -- a test looks into whatever came
  body: any;
  /** Whether it is a replay. */
  replayed: boolean;
}

const MOST_TRIES = 30;

/**
 * Calls an edge function as an actor. Like any client it sends again what the
 * ledger had no time for, as on a machine that is busy with something else.
 */
export async function call(
  stack: Pick<Stack, "apiUrl">,
  actor: Pick<Actor, "headers">,
  name: string,
  request: Call = {},
): Promise<CallAnswer> {
  let answer = await send(stack, actor, name, request);
  for (let tries = 1; tries < MOST_TRIES; tries++) {
    if (answer.body?.code !== "LEDGER_UNAVAILABLE") break;
    const seconds = Number(answer.headers.get("retry-after"));
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    answer = await send(stack, actor, name, request);
  }
  return answer;
}

async function send(
  { apiUrl }: Pick<Stack, "apiUrl">,
  actor: Pick<Actor, "headers">,
  name: string,
  { body, key, method = "POST", headers }: Call,
): Promise<CallAnswer> {
  const isForm = body instanceof FormData;
  const response = await fetch(`${apiUrl}/functions/v1/${name}`, {
    method,
    headers: {
      ...actor.headers,
      ...(isForm ? {} : { "Content-Type": "application/json" }),
      ...(key === undefined ? {} : { "Idempotency-Key": key }),
      ...headers,
    },
    ...(body === undefined ? {} : {
      body: isForm || typeof body === "string" ? body : JSON.stringify(body),
    }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === "" ? null : JSON.parse(text),
    replayed: response.headers.has("x-idempotency-replay"),
  };
}

// These belong to one answer, or are of the body.
const OWN_HEADERS = /^(content-length|date|traceparent|x-.*-id)$/;

/** Asserts that HEAD gets what GET does, but for the body. */
export async function assertHeadIsGet(
  stack: Pick<Stack, "apiUrl">,
  actor: Pick<Actor, "headers">,
  name: string,
): Promise<void> {
  const ask = async (method: string) => {
    const { status, headers, body } = await call(stack, actor, name, {
      method,
    });
    const kept = [...headers].filter(([name]) => !OWN_HEADERS.test(name));
    return { status, headers: kept, body };
  };
  const get = await ask("GET");
  assertEquals(get.status, 200, name);
  assertEquals(await ask("HEAD"), { ...get, body: null }, name);
}

/** A form with one file, as a browser sends it. */
export function formWith(
  content: BlobPart,
  name: string,
  type = "",
): FormData {
  const form = new FormData();
  form.set("file", new File([content], name, { type }));
  return form;
}

/** The bytes of a file under `tests/fixtures`. */
export function fixture(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(new URL(`../fixtures/${name}`, import.meta.url));
}
