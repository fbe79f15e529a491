import { assert, assertEquals } from "@std/assert";
import type { Stack } from "../../../scripts/stack/stack.ts";
import { call, type CallAnswer } from "../../support/call.ts";
import { newOrganization } from "../../support/organizations.ts";
import { probe, unique } from "../../support/probe.ts";
import { project, signUp } from "../../support/stack.ts";
import { grant, subscribe, type Subscriber } from "../../support/subscriber.ts";
import {
  type Attempt,
  prepare,
  send,
  type WriteRoute,
  writeRoutes,
} from "../../support/write_routes.ts";

/** A request that the victim has made, with what came of it. */
export interface Made {
  readonly route: WriteRoute;
  readonly attempt: Attempt;
  readonly key: string;
  readonly answer: CallAnswer;
}

/** Somebody who has used everything there is, and what they have. */
export interface Victim extends Subscriber {
  readonly organization: string;
  /** One request for each route that creates, and some that go on from there. */
  readonly made: readonly Made[];
  /** A key of the probe's, with an answer that is nobody else's business. */
  readonly answered: string;
  /** Keys of which one is at work, one stuck and one failed. */
  readonly open: Readonly<Record<"held" | "stuck" | "failed", string>>;
  /** What stands in no answer but the victim's own. */
  readonly secret: string;
}

/** A row that belongs to somebody. */
export interface Row {
  readonly table: string;
  readonly row: Readonly<Record<string, unknown>>;
}

const SCOPE = "probe";
const DAY = 86_400;

/** Signs up a user and has them use every route that creates something. */
export async function makeVictim(stack: Stack): Promise<Victim> {
  const ada = await subscribe(stack, { included: 1_000, cost: 1 });
  await grant(stack, ada, 17);
  const organization = await newOrganization(ada, await signUp(stack));
  const made: Made[] = [];
  for (const route of writeRoutes.filter(creates)) {
    const attempt = await prepare(route, stack, ada);
    const key = unique("key");
    const answer = await send(stack, ada, route, attempt, key);
    assertEquals(answer.status, route.status, JSON.stringify(answer.body));
    made.push({ route, attempt, key, answer });
  }
  const shared = { "X-Organization-Id": organization };
  for (const { route, attempt } of made.filter(inOrganization)) {
    await call(stack, ada, attempt.path, {
      body: attempt.body,
      key: unique("key"),
      headers: shared,
    });
    assert(route.organizations);
  }
  const secret = unique("secret");
  const answered = unique("key");
  await (await probe(stack, ada, {
    key: answered,
    body: { effect: secret, steps: ["charge"], body: secret },
  })).body?.cancel();
  return {
    ...ada,
    organization,
    made,
    answered,
    open: await openKeys(stack, ada.userId, secret),
    secret,
  };
}

// What a route with an id is about, another one has created.
function creates({ method, path }: WriteRoute): boolean {
  return method === "POST" &&
    (!path.includes("{id}") || /^(pos|recognitions)\//.test(path));
}

function inOrganization({ route }: Made): boolean {
  return ["quotations", "crm/clients"].includes(route.path);
}

async function openKeys(stack: Stack, p_owner: string, secret: string) {
  const { client } = project(stack);
  const claim = async (p_lease_seconds: number) => {
    const held = {
      p_owner,
      p_scope: SCOPE,
      p_idempotency_key: unique("key"),
      p_owner_token: crypto.randomUUID(),
    };
    await client.rpc("idempotency_claim", {
      ...held,
      p_fingerprint: "a".repeat(64),
      p_lease_seconds,
      p_ttl_seconds: DAY,
      p_metadata: { secret },
    }).throwOnError();
    await client.rpc("idempotency_checkpoint", {
      ...held,
      p_step: "charge",
      p_result: { secret },
      p_lease_seconds,
    }).throwOnError();
    return held;
  };
  const held = await claim(DAY);
  const stuck = await claim(1);
  const failed = await claim(60);
  await client.rpc("idempotency_fail", { ...failed, p_error_message: secret })
    .throwOnError();
  return {
    held: held.p_idempotency_key,
    stuck: stuck.p_idempotency_key,
    failed: failed.p_idempotency_key,
  };
}

/** Looks at everything that is somebody's, past every policy. */
export async function rowsNaming(
  { sql }: Pick<Stack, "sql">,
  names: readonly string[],
): Promise<Row[]> {
  const tables = await sql<{ name: string }>(
    `select c.oid::regclass::text as name from pg_catalog.pg_class as c
    where c.relkind = 'r'
      and (c.relnamespace = 'public'::regnamespace or c.oid = 'auth.users'::regclass)
    order by 1`,
  );
  const found = await sql<{ table: string; row: string }>(
    tables.map(({ name }) =>
      `select '${name}' as table, to_jsonb(t)::text as row from ${name} as t
      where t::text like any ($1::text::text[])`
    ).join(" union all "),
    [`{${names.map((name) => `%${name}%`).join(",")}}`],
  );
  return found.map(({ table, row }) => ({ table, row: JSON.parse(row) }))
    .sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
}
