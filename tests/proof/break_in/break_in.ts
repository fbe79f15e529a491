import {
  decodeJwt,
  decodeProtectedHeader,
  type JWTPayload,
  SignJWT,
} from "jose";
import { setEnvironment } from "../../../scripts/stack/environment.ts";
import type { Stack } from "../../../scripts/stack/stack.ts";
import { anonymous, signUp } from "../../support/stack.ts";
import { send } from "../../support/write_routes.ts";
import { type Random, randomFrom } from "../simulation/random.ts";
import { Tally, type TrialLimits } from "../trial.ts";
import { readCatalogue } from "./catalogue.ts";
import { type Probe, probesOf, type Scene, type Strangers } from "./probes.ts";
import { badTokens, type Mint } from "./tokens.ts";
import { makeVictim, type Row, rowsNaming, type Victim } from "./victim.ts";

// Each look goes through all tables.
const PROBES_A_LOOK = 100;
const LANES = 4;
// Plans and pools are everybody's, and whoever has somebody's address may learn
// whose it is.
const OPEN = ["plan_name", "pool_id", "recipient_id"];
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** Tries to get at what a user has, each way once in an order that the seed chooses. */
export async function breakIn(
  stack: Stack,
  { seed, seconds }: TrialLimits,
): Promise<Tally[]> {
  const refused = new Tally(
    "who is not the victim is refused, or gets what is their own",
  );
  const untold = new Tally("no answer holds anything of the victim's");
  const unchanged = new Tally("nothing of the victim's changes");
  const answers = new Tally("the victim's retries get the same answers");

  const restore = setEnvironment({ STRIPE_WEBHOOK_SECRET: "whsec_nobody" });
  const scene = await setScene(stack);
  const { victim, rows } = scene;
  const names = namesOf(victim, rows);
  const secrets = secretsOf(scene);
  const queue = shuffled(probesOf(scene), randomFrom(seed));
  let before = rows;
  const until = performance.now() + seconds * 1000;
  while (queue.length > 0 && performance.now() < until) {
    const some = queue.splice(0, PROBES_A_LOOK);
    await inLanes(some, async (probe) => {
      const { status, text } = await sent(stack, probe);
      const report = () => `${told(probe)}\n${status} ${text.slice(0, 500)}`;
      const passed = status < 400 && probe.expected !== "refused";
      // 300: the Data API does not choose between functions of one name.
      refused.count(
        status === 300 || status >= 400 && status < 500 || passed,
        report,
      );
      const asked = JSON.stringify(probe);
      const leaked = secrets.find((secret) =>
        text.includes(secret) && !asked.includes(secret)
      );
      untold.count(leaked === undefined, () => `${leaked} in ${report()}`);
    });
    const after = (await rowsNaming(stack, names))
      .filter((row) => !isOwn(row, scene.strangers, names));
    const difference = differences(before, after);
    unchanged.count(
      difference.length === 0,
      () => `${difference.join("\n")}\nby one of\n${some.map(told).join("\n")}`,
    );
    before = after;
  }
  restore();
  for (const { route, attempt, key, answer } of victim.made) {
    const again = await send(stack, victim, route, attempt, key);
    answers.count(
      again.replayed && again.status === answer.status &&
        JSON.stringify(again.body) === JSON.stringify(answer.body),
      () => `${route.method} ${route.path}: ${JSON.stringify(again.body)}`,
    );
  }
  return [refused, untold, unchanged, answers];
}

async function setScene(stack: Stack): Promise<Scene> {
  const victim = await makeVictim(stack);
  const strangers = {
    reader: await signUp(stack),
    writer: await signUp(stack),
    caller: await signUp(stack),
  };
  let rows = await rowsNaming(stack, [victim.userId, victim.organization]);
  // What belongs to a business of the victim's names the business alone.
  for (let round = 0; round < 2; round++) {
    rows = await rowsNaming(stack, namesOf(victim, rows));
  }
  const tokens = await badTokens(
    await mintOf(stack, tokenOf(victim), tokenOf(strangers.reader)),
  );
  return {
    stack,
    victim,
    strangers,
    anonymous: anonymous(stack),
    tokens,
    catalogue: await readCatalogue(stack),
    rows,
  };
}

const tokenOf = ({ headers }: { headers: Record<string, string> }) =>
  headers["Authorization"]!.replace("Bearer ", "");

async function mintOf(
  { sql, publishableKey, anonKey, apiUrl }: Stack,
  victim: string,
  attacker: string,
): Promise<Mint> {
  const [row] = await sql<{ keys: { jwtSecret: string; keyId: string } }>(
    "select keys from local_stack.keys",
  );
  const { jwtSecret, keyId } = row!.keys;
  const header = { alg: "HS256", typ: "JWT", kid: keyId };
  return {
    victim,
    attacker,
    header,
    sign: (claims: JWTPayload) =>
      new SignJWT(claims).setProtectedHeader(header)
        .sign(new TextEncoder().encode(jwtSecret)),
    known: {
      "the publishable key": publishableKey,
      "the anon key": anonKey,
      "the name of the key": keyId,
      "the project's address": apiUrl,
      "the victim's id": decodeJwt(victim).sub!,
      "the header of a token": JSON.stringify(decodeProtectedHeader(victim)),
    },
  };
}

/** What a row that is the victim's, or about something of theirs, holds. */
function namesOf(
  { userId, organization }: Victim,
  rows: readonly Row[],
): string[] {
  const ids = rows.flatMap(({ row }) => [row["id"], row["business_id"]])
    .filter((id): id is string => typeof id === "string" && id.length === 36);
  return [...new Set([userId, organization, ...ids])];
}

/** What only the victim may be told. */
function secretsOf({ victim, rows }: Scene): string[] {
  const open = new Set(
    uuidsIn(rows.map(({ row }) => OPEN.map((column) => row[column]))),
  );
  return [...new Set([victim.secret, ...uuidsIn(rows)])]
    .filter((name) => !open.has(name));
}

const uuidsIn = (value: unknown) => JSON.stringify(value).match(UUID) ?? [];

async function sent(
  { apiUrl }: Stack,
  { path, method, headers, body }: Probe,
): Promise<{ status: number; text: string }> {
  const response = await fetch(`${apiUrl}${path}`, {
    method,
    headers,
    redirect: "manual",
    ...(body === undefined || method === "GET" || method === "HEAD"
      ? {}
      : { body }),
  });
  const text = await response.text();
  return {
    status: response.status,
    text: `${JSON.stringify([...response.headers])}\n${text}`,
  };
}

const told = ({ name, method, path }: Probe) => `${name}: ${method} ${path}`;

/** Whether a row is a stranger's, and about nothing of the victim's. */
function isOwn(
  { row }: Row,
  strangers: Strangers,
  names: readonly string[],
): boolean {
  const owner = row["owner"] ?? row["user_id"] ?? row["sender_id"] ??
    row["shared_by_id"];
  return Object.values(strangers).some(({ userId }) => userId === owner) &&
    !Object.values(row).some((value) => names.includes(value as string));
}

function differences(before: readonly Row[], after: readonly Row[]): string[] {
  const [old, now] = [before, after].map((rows) =>
    new Set(rows.map((row) => JSON.stringify(row)))
  ) as [Set<string>, Set<string>];
  return [
    ...[...old].filter((row) => !now.has(row)).map((row) => `- ${row}`),
    ...[...now].filter((row) => !old.has(row)).map((row) => `+ ${row}`),
  ];
}

function shuffled<T>(from: readonly T[], random: Random): T[] {
  const list = [...from];
  for (let last = list.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [list[last], list[other]] = [list[other]!, list[last]!];
  }
  return list;
}

async function inLanes<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = [...items];
  await Promise.all(Array.from({ length: LANES }, async () => {
    for (let next = left.shift(); next; next = left.shift()) await work(next);
  }));
}
