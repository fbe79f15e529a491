import { join } from "node:path";
import {
  type Stack,
  type StackOptions,
  startStack,
} from "../../../scripts/stack/stack.ts";
import {
  findPostgres,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";

/** A project made for these tests, so that they do not depend on ours. */
export const FIXTURE = join(import.meta.dirname!, "fixture");

/** One stack on one database, and a way to ask it things. */
export interface Running extends Stack {
  /** Sends a request to the gateway with the publishable key. */
  call(path: string, init?: RequestInit): Promise<Response>;
  /** Signs a new user up and answers their id and access token. */
  signUp(): Promise<{ id: string; token: string }>;
}

type Case = (t: Deno.TestContext, stack: Running) => Promise<void>;

const cases = new Map<string, Case>();

/**
 * Adds a case to those that run against the embedded database and, where found,
 * Postgres. Starting a stack takes longer than any of them, so the cases of one
 * file share one on each.
 */
export function testOnEachDatabase(name: string, test: Case): void {
  if (cases.size === 0) registerOnce();
  cases.set(name, test);
}

function registerOnce(): void {
  Deno.test("On the embedded database", async (t) => {
    await withStack({ memory: true }, (stack) => runCases(t, stack));
  });
  Deno.test({
    name: "On Postgres",
    ignore: findPostgres() === null,
    fn: async (t) => {
      const cluster = await startCluster();
      try {
        await withStack(
          { databaseUrl: cluster.url },
          (stack) => runCases(t, stack),
        );
      } finally {
        await cluster.close();
      }
    },
  });
}

async function runCases(t: Deno.TestContext, stack: Running): Promise<void> {
  for (const [name, test] of cases) {
    await t.step(name, (step) => test(step, stack));
  }
}

/** Runs `use` with a stack of the fixture project, and closes it. */
export async function withStack(
  options: StackOptions,
  use: (stack: Running) => Promise<void>,
): Promise<void> {
  const stack = await startStack({ port: 0, supabaseDir: FIXTURE, ...options });
  try {
    await use(withCalls(stack));
  } finally {
    await stack.close();
  }
}

function withCalls(stack: Stack): Running {
  const call = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    if (!headers.has("apikey")) headers.set("apikey", stack.publishableKey);
    if (typeof init.body === "string" && !headers.has("content-type")) {
      headers.set("content-type", "application/json");
    }
    return fetch(`${stack.apiUrl}${path}`, { ...init, headers });
  };
  const signUp = async () => {
    const response = await call("/auth/v1/signup", {
      method: "POST",
      body: JSON.stringify({
        email: `${crypto.randomUUID()}@example.com`,
        password: "correct horse",
      }),
    });
    const { user, access_token } = await response.json();
    return { id: user.id, token: access_token };
  };
  return { ...stack, call, signUp };
}
