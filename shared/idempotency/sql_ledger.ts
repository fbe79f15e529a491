import { type BodyEncoding, restoreBody, storeBody } from "./body.ts";
import { pRetry } from "./deps.ts";
import {
  AccountGoneError,
  type IdempotencyError,
  LedgerMisconfiguredError,
  LedgerUnavailableError,
  TooManyKeysError,
} from "./errors.ts";
import {
  type Answer,
  type BatchTerms,
  type ClaimResult,
  type Identity,
  keptJson,
  type KeyStatus,
  type Ledger,
  type Refused,
  type Settlement,
  type SettleResult,
  type StepResult,
} from "./ledger.ts";

/** What a database, or what is before it, says went wrong. */
interface LedgerFault {
  readonly message: string;
  readonly code?: string | undefined;
}

/** What became of one call of a SQL function: its rows, or why there are none. */
export type CallOutcome =
  | {
    readonly data: unknown;
    readonly error: null;
    readonly isTransient?: undefined;
  }
  | {
    readonly data?: undefined;
    readonly error: LedgerFault;
    /** Whether the same call may get through a moment later. */
    readonly isTransient: boolean;
  };

/**
 * Calls a SQL function of the ledger, once, with its parameters by name.
 *
 * @param withinMs How long it may take, in ms.
 */
export type CallFunction = (
  fn: string,
  args: Readonly<Record<string, unknown>>,
  withinMs: number,
) => Promise<CallOutcome>;

type Args = Readonly<Record<string, unknown>>;

/**
 * A kind of call: how long all its tries may take, and each of them, in ms.
 * Several short tries rather than one long: a lost packet costs one of them.
 */
interface Patience {
  readonly allMs: number;
  readonly eachMs: number;
  /** How often a call that got no answer is sent again within that time. */
  readonly retries: number;
  /** Whether the call is not even made while the ledger is known to be down. */
  readonly breaks: boolean;
}

// A claim takes milliseconds, and somebody waits for it.
const ASK: Patience = {
  allMs: 5_000,
  eachMs: 2_400,
  retries: 2,
  breaks: true,
};

// The next heartbeat comes soon enough.
const RENEW: Patience = { ...ASK, breaks: false };

// Nothing has happened that a retry may not do.
const FAIL: Patience = { ...RENEW, allMs: 20_000, eachMs: 4_000 };

// An effect has happened: worth more patience, and never given up beforehand. A
// database or a pooler that restarts refuses at once, for seconds. It stays far
// below the 150 s after which the gateway drops an idle request.
const RECORD: Patience = { ...FAIL, retries: Infinity };

// It goes on for 5 seconds by itself, and ends the batch that it is at; API
// roles have 8.
const CLEAN_UP: Patience = { ...RENEW, allMs: 20_000, eachMs: 8_000 };

/** The most that a try may take, in ms, for what is sent along with it. */
export const TRY_MS: { readonly ask: number; readonly record: number } = {
  ask: ASK.eachMs,
  record: RECORD.eachMs,
};

// The owner of the project's own keys: a column that is never null needs no
// second rule.
const PROJECT = "";

// What a transition calls its success.
const RECORDED = new Set(["completed", "failed", "recorded", "renewed"]);

// Three calls in a row that got no answer in all their tries are no accident.
const BREAKS_AFTER = 3;

// Long enough to spare a database that is on its knees, short enough that
// nobody notices when it is back.
const OPEN_MS = 3_000;

/** Whether a ledger is known to be down; one for whatever is called. */
interface Breaker {
  failures: number;
  openUntil: number;
}

const breakers = new WeakMap<object, Breaker>();
const breakersByName = new Map<string, Breaker>();

/**
 * The ledger over its SQL functions, whichever way they are called: one call,
 * and so one database round trip, for each transition. Calls are retried within
 * one deadline, because each is safe to send twice; when the place that is
 * called does not answer at all, claims are refused at once for a few seconds.
 *
 * @param on.place Names what is called, the same for every ledger on it: of
 * those a crowd asks once.
 * @param on.health Whose health is known: a client, or a name for clients that
 * are made anew for each request.
 * @param on.retries Whether a call may be sent again. A transaction is over with
 * its first error.
 */
export function sqlLedger(
  callFunction: CallFunction,
  on: {
    place?: string;
    health?: string | object;
    retries?: boolean;
  } = {},
): Ledger {
  const { place, health = place ?? {}, retries: mayRetry = true } = on;
  const breaker = breakerOf(health);

  const send = async (
    attempted: string,
    patience: Patience,
    fn: string,
    given: Args | (() => Promise<Args>),
  ): Promise<unknown> => {
    if (patience.breaks) pass(breaker, attempted);
    const { allMs, eachMs, retries } = patience;
    const until = performance.now() + allMs;
    const args = typeof given === "function" ? await given() : given;
    let outcome = await callFunction(fn, args, eachMs);
    if (outcome.error !== null && outcome.isTransient && mayRetry) {
      outcome = await again(
        outcome,
        until,
        retries,
        (leftMs) => callFunction(fn, args, Math.min(eachMs, leftMs)),
      );
    }
    if (outcome.error === null || !outcome.isTransient) {
      // A refusal is an answer, too.
      breaker.failures = 0;
      breaker.openUntil = 0;
      if (outcome.error === null) return outcome.data;
      throw refusalOf(attempted, outcome.error);
    }
    breaker.failures += 1;
    if (breaker.failures >= BREAKS_AFTER) {
      breaker.openUntil = performance.now() + OPEN_MS;
    }
    throw new LedgerUnavailableError(attempted, outcome.error);
  };

  const call = async (
    attempted: string,
    patience: Patience,
    fn: string,
    identity: Identity,
    args: () => object | Promise<object>,
  ): Promise<Row> => {
    const data = await send(attempted, patience, fn, async () => ({
      ...keyArgs(identity),
      ...await args(),
    }));
    const row = (Array.isArray(data) ? data[0] : data) as Row | null;
    if (typeof row?.outcome === "string") return row;
    throw unknownAnswer(attempted, data);
  };

  const settle = async (
    ...args: Parameters<typeof call>
  ): Promise<SettleResult> => {
    const row = await call(...args);
    // As `toSettleResult` has it; asked here, the way back from the database calls
    // nothing more.
    return RECORDED.has(row.outcome)
      ? { outcome: "recorded" }
      : await toSettleResult(row);
  };

  const look = async (identity: Identity) => {
    const data = await send(
      "read the key",
      ASK,
      "get_idempotency_status",
      keyArgs(identity),
    );
    if (!Array.isArray(data)) throw unknownAnswer("read the key", data);
    return (data as StatusRow[]).find((row) => !row.is_expired) ?? null;
  };

  const callMany = async (
    attempted: string,
    patience: Patience,
    fn: string,
    name: string,
    items: readonly unknown[],
    args: Record<string, unknown>,
  ): Promise<Row[]> => {
    const rows: Row[] = [];
    // A project may let its Data API give fewer rows than there are (max rows).
    // Each item may be sent twice, so the rest is asked for again.
    while (rows.length < items.length) {
      const rest = items.slice(rows.length);
      const data = await send(attempted, patience, fn, {
        ...args,
        [name]: rest,
      });
      const isAnswer = Array.isArray(data) && data.length > 0 &&
        data.length <= rest.length;
      if (!isAnswer) throw unknownAnswer(attempted, data);
      rows.push(...data.map((row) => rowOf(attempted, row)));
    }
    return rows;
  };

  return {
    ...(place === undefined ? {} : { place }),

    async claim(identity, terms) {
      return toClaimResult(
        await call("claim the key", ASK, "idempotency_claim", identity, () => ({
          p_fingerprint: terms.fingerprint,
          p_owner_token: terms.ownerToken,
          ...termsArgs(terms),
          p_metadata: terms.metadata,
        })),
      );
    },

    renew: (identity, ownerToken, leaseSeconds) =>
      settle("renew the lease", RENEW, "idempotency_renew", identity, () => ({
        p_owner_token: ownerToken,
        p_lease_seconds: leaseSeconds,
      })),

    checkpoint: (identity, ownerToken, step, result, leaseSeconds) =>
      settle(
        "keep the step's result",
        RECORD,
        "idempotency_checkpoint",
        identity,
        () => ({
          p_owner_token: ownerToken,
          p_step: step,
          p_result: packed(result),
          p_lease_seconds: leaseSeconds,
        }),
      ),

    complete: (identity, ownerToken, { status, headers, body }, ttlSeconds) =>
      settle(
        "record the answer",
        RECORD,
        "idempotency_complete",
        identity,
        async () => {
          const p_response_headers = storableHeaders(headers);
          const stored = await storeBody(body, headers);
          return {
            p_owner_token: ownerToken,
            p_status_code: status,
            p_response: stored.body,
            p_response_encoding: stored.encoding,
            p_response_headers,
            p_ttl_seconds: ttlSeconds,
          };
        },
      ),

    fail: (identity, ownerToken, failure, ttlSeconds) =>
      settle(
        "record the failure",
        FAIL,
        "idempotency_fail",
        identity,
        () => ({
          p_owner_token: ownerToken,
          p_error_message: storable(failure.message),
          p_ttl_seconds: ttlSeconds,
          p_status_code: failure.status,
        }),
      ),

    async read(identity) {
      const row = await look(identity);
      return row === null || row.status !== "completed"
        ? null
        : await toAnswer(row);
    },

    async claimMany(userId, scope, requests, terms) {
      const rows = await callMany(
        "claim the keys",
        ASK,
        "idempotency_claim_many",
        "p_requests",
        requests.map(({ key, fingerprint, ownerToken, metadata }) => ({
          key,
          fingerprint,
          owner_token: ownerToken,
          metadata,
        })),
        { ...scopeArgs(userId, scope), ...termsArgs(terms) },
      );
      return await Promise.all(
        rows.map((row) =>
          refusedOf("claim the key", row) ?? toClaimResult(row)
        ),
      );
    },

    async settleMany(userId, scope, settlements, ttlSeconds) {
      const rows = await callMany(
        "record the answers",
        RECORD,
        "idempotency_settle_many",
        "p_settlements",
        await Promise.all(settlements.map(written)),
        {
          ...scopeArgs(userId, scope),
          p_ttl_seconds: ttlSeconds.completed,
          p_failed_ttl_seconds: ttlSeconds.failed,
        },
      );
      return await Promise.all(
        rows.map((row) =>
          refusedOf("record the answer", row) ?? toSettleResult(row)
        ),
      );
    },

    async notify(identity) {
      const args = keyArgs(identity);
      await send("notify the user", RENEW, "idempotency_notify", args);
    },

    async countReplays(userId, scope, count) {
      await send("count replays", RENEW, "idempotency_count_replays", {
        ...scopeArgs(userId, scope),
        p_count: count,
      });
    },

    async status(identity) {
      const row = await look(identity);
      return row === null ? null : toStatus(row);
    },

    async deleteExpired() {
      const data = await send(
        "delete expired keys",
        CLEAN_UP,
        "cleanup_expired_idempotency_keys",
        {},
      );
      const [row] = Array.isArray(data) ? data : [data];
      return Number(typeof row === "object" ? row.deleted : row);
    },
  };
}

function scopeArgs(userId: string | null, scope: string) {
  return { p_owner: userId ?? PROJECT, p_scope: scope };
}

function keyArgs({ userId, scope, key }: Identity) {
  return { ...scopeArgs(userId, scope), p_idempotency_key: key };
}

function termsArgs(terms: BatchTerms) {
  return {
    p_lease_seconds: terms.leaseSeconds,
    p_ttl_seconds: terms.ttlSeconds,
    p_on_abandoned: terms.onAbandoned,
    p_max_attempts: terms.maxAttempts,
    p_third_party: terms.thirdParty ?? false,
  };
}

function breakerOf(called: string | object): Breaker {
  const all = (typeof called === "string" ? breakersByName : breakers) as Map<
    unknown,
    Breaker
  >;
  const breaker = all.get(called) ?? { failures: 0, openUntil: 0 };
  all.set(called, breaker);
  return breaker;
}

/**
 * Lets a call through unless the ledger is known to be down. Of those that come
 * when its time is over one tries; the others wait for what it finds.
 */
function pass(breaker: Breaker, attempted: string): void {
  if (breaker.failures < BREAKS_AFTER) return;
  const now = performance.now();
  if (now >= breaker.openUntil) {
    breaker.openUntil = now + ASK.allMs;
    return;
  }
  throw new LedgerUnavailableError(
    attempted,
    new Error(`${breaker.failures} calls in a row got no answer`),
    Math.max(1, Math.ceil((breaker.openUntil - now) / 1000)),
  );
}

/** Tries again until the deadline; gives the last outcome. */
async function again(
  first: CallOutcome,
  until: number,
  retries: number,
  attempt: (leftMs: number) => Promise<CallOutcome>,
): Promise<CallOutcome> {
  let last = first;
  try {
    return await pRetry(async () => {
      const leftMs = until - performance.now();
      if (leftMs <= 0) return last;
      last = await attempt(leftMs);
      if (last.error !== null && last.isTransient) throw new Error();
      return last;
    }, {
      retries,
      maxRetryTime: Math.max(0, until - performance.now()),
      minTimeout: 50,
      maxTimeout: 1_000,
      randomize: true,
    });
  } catch {
    return last;
  }
}

/** A row of the SQL types `idempotency_answer` and `idempotency_item_answer`. */
interface Row {
  readonly outcome: string;
  readonly attempt: number | null;
  readonly fence: number | null;
  readonly retry_after_seconds: number | null;
  readonly status_code: number | null;
  readonly response: string | null;
  readonly response_encoding: BodyEncoding | null;
  readonly response_headers: Record<string, string> | null;
  readonly steps: Record<string, unknown> | null;
  readonly error_code?: string | null;
  readonly error_message?: string | null;
}

type AnswerRow = Pick<
  Row,
  "status_code" | "response" | "response_encoding" | "response_headers"
>;

interface StatusRow extends AnswerRow {
  readonly status: KeyStatus["status"];
  readonly attempt: number;
  readonly is_stuck: boolean;
  readonly is_expired: boolean;
  readonly created_at: string | Date;
  readonly claimed_at: string | Date;
  readonly completed_at: string | Date | null;
  readonly expires_at: string | Date;
  readonly finished_steps: readonly string[] | null;
}

/**
 * What a transition answered, as the migration of this version answers it.
 *
 * @throws {LedgerMisconfiguredError} When it is something else.
 */
export function rowOf(attempted: string, data: unknown): Row {
  const row = data as Row | null;
  if (typeof row === "object" && typeof row?.outcome === "string") return row;
  throw unknownAnswer(attempted, data);
}

function unknownAnswer(attempted: string, data: unknown): IdempotencyError {
  return new LedgerMisconfiguredError(
    attempted,
    "the database answered in a way that this version does not know, apply the migration that came with it",
    new TypeError(`got ${JSON.stringify(data)?.slice(0, 200)}`),
  );
}

/**
 * Reads the answer of a claim.
 *
 * @throws {LedgerMisconfiguredError} When it is not one of a claim.
 */
export function toClaimResult(
  row: Row,
): ClaimResult | Promise<ClaimResult> {
  switch (row.outcome) {
    case "claimed":
    case "taken_over":
      if (row.attempt === null || row.fence === null) break;
      return {
        outcome: row.outcome,
        attempt: row.attempt,
        // Over a direct connection a bigint may come as text.
        fence: Number(row.fence),
        steps: row.steps === null ? {} : unpacked(row.steps),
      };
    case "replay":
      return replayOf(row);
    case "in_progress":
      if (row.retry_after_seconds === null) break;
      return {
        outcome: "in_progress",
        retryAfterSeconds: row.retry_after_seconds,
      };
    case "mismatch":
    case "abandoned":
      return { outcome: row.outcome };
  }
  throw unknownAnswer("claim the key", row);
}

async function replayOf(row: AnswerRow) {
  return { outcome: "replay", answer: await toAnswer(row) } as const;
}

/** Reads the answer of any other transition. */
export function toSettleResult(row: Row): SettleResult | Promise<SettleResult> {
  if (RECORDED.has(row.outcome)) return { outcome: "recorded" };
  switch (row.outcome) {
    case "replay":
      return replayOf(row);
    case "lost":
    case "gone":
      return { outcome: row.outcome };
  }
  throw unknownAnswer("settle the key", row);
}

/** The final answer that a row holds. */
export async function toAnswer(row: AnswerRow): Promise<Answer> {
  const { status_code, response, response_encoding, response_headers } = row;
  if (status_code === null || response_encoding === null) {
    throw unknownAnswer("read the recorded answer", row);
  }
  return {
    status: status_code,
    headers: response_headers ?? {},
    body: await restoreBody({ body: response, encoding: response_encoding }),
  };
}

function toStatus(row: StatusRow): KeyStatus {
  return {
    status: row.status,
    attempt: row.attempt,
    createdAt: new Date(row.created_at),
    claimedAt: new Date(row.claimed_at),
    completedAt: row.completed_at === null ? null : new Date(row.completed_at),
    expiresAt: new Date(row.expires_at),
    statusCode: row.status_code,
    isStuck: row.is_stuck,
    finishedSteps: row.finished_steps ?? [],
  };
}

function refusedOf(attempted: string, row: Row): Refused | null {
  if (row.outcome !== "refused") return null;
  const { error_code: code, error_message: message } = row;
  const error = { code: code ?? "", message: message ?? "refused" };
  return { outcome: "refused", error: refusalOf(attempted, error) };
}

async function written(settlement: Settlement): Promise<object> {
  const { key, ownerToken } = settlement;
  if ("failure" in settlement) {
    const { message, status } = settlement.failure;
    return {
      key,
      owner_token: ownerToken,
      error_message: storable(message),
      status_code: status,
    };
  }
  const { status, headers, body } = settlement.answer;
  const stored = await storeBody(body, headers);
  return {
    key,
    owner_token: ownerToken,
    status_code: status,
    response: stored.body,
    response_encoding: stored.encoding,
    response_headers: storableHeaders(headers),
  };
}

/**
 * Postgres text holds neither U+0000 nor half of a surrogate pair, and a
 * message is no reason to fail.
 */
function storable(text: string): string {
  return text.replace(/\0|\p{Surrogate}/gu, "\uFFFD");
}

/**
 * A plain operation's headers may hold what no Response could send. Refused,
 * they would take the body along, and in a batch those of all answers.
 */
function storableHeaders(headers: Answer["headers"]): Answer["headers"] {
  const text = JSON.stringify(headers);
  // Asked here, most answers take no turn into another file.
  return /\\u(0000|d)/.test(text) ? JSON.parse(keptJson(text)) : headers;
}

const PACKED = "packed_json";

/**
 * A step's result as Postgres can keep it: what it could not hold travels
 * inside a text. Refused, a step whose work is done would be done again.
 */
function packed(result: StepResult): StepResult {
  const text = JSON.stringify(result) ?? "null";
  // JSON.stringify escapes only those surrogates that have lost their half.
  return /\\u(0000|d[89a-f])/.test(text) || PACKED in Object(result)
    ? { [PACKED]: text }
    : result;
}

function unpacked(
  steps: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(steps).map(([name, kept]) => {
      const { [PACKED]: text } = (kept ?? {}) as Record<string, unknown>;
      return [name, typeof text === "string" ? JSON.parse(text) : kept];
    }),
  );
}

// By SQLSTATE, or by the code of the Data API, never by message.
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [
    /^42501$/,
    "the database refused permission, give the ledger the secret key's client (SUPABASE_SECRET_KEY) or a role that inherits from service_role",
  ],
  [
    /^(42883|42P01|42703|3F000|PGRST20\d)$/,
    "its functions are not in this database or of another version, apply the idempotency migration (supabase db push, with --remote to the linked project)",
  ],
  [
    /^(PGRST30\d|28\w{3}|3D000)$/,
    "the database did not let the caller in, check the secret key or the connection string",
  ],
];

/** Why a call was refused, and will be again. */
function refusalOf(
  attempted: string,
  error: LedgerFault,
): IdempotencyError {
  const { code = "" } = error;
  if (code === "PT429") return new TooManyKeysError(error);
  if (code === "23503") return new AccountGoneError(error);
  const [, remedy] = REMEDIES.find(([codes]) => codes.test(code)) ?? [];
  return new LedgerMisconfiguredError(
    attempted,
    remedy ?? `the database refused it (${code || "no code"}), see the log`,
    error,
  );
}

/**
 * Whether an SQLSTATE names a condition that passes with time: class 08
 * (connection), 40 (serialization failure, deadlock), 53 (no resources) and 57
 * (shutdown, cancelled), and 55P03 (waited too long for a lock).
 */
export function passesWithTime(sqlState: string): boolean {
  return /^(08|40|53|57|55P03)/.test(sqlState);
}

/** Whether an error's code is the database's own, not that of what is before it. */
export function isSqlState(code: string): boolean {
  // EPIPE is as long, but each SQLSTATE has a digit.
  return /^(?=.*\d)[0-9A-Z]{5}$/.test(code);
}
