import { bytesOfBase64, toBase64 } from "./body.ts";
import { bytesToHex, pRetry } from "./deps.ts";
import { LedgerMisconfiguredError, LedgerUnavailableError } from "./errors.ts";
import {
  type Answer,
  type ClaimResult,
  type Identity,
  identityName,
  inTime,
  type KeyStatus,
  type Ledger,
  placeOf,
  type SettleResult,
} from "./ledger.ts";

/**
 * Sends one command with its arguments, and gives back its answer: texts, and
 * lists of them.
 */
export type SendCommand = (command: string[]) => Promise<unknown>;

/** Options of {@link redisLedger}. */
export interface RedisLedgerOptions {
  /**
   * What the names of the ledger's keys begin with.
   *
   * @default {"idempotency:"}
   */
  readonly prefix?: string | undefined;
  /**
   * How long to wait for an answer, in ms, over all tries. Clients keep
   * commands back while they are not connected, and whoever called is waiting.
   *
   * @default {5000}
   */
  readonly timeoutMs?: number | undefined;
}

// A key of the ledger is one hash. Redis deletes it when it expires, so what is
// there is live. Scripts run one after the other and take longer than a
// microsecond, so the clock tells attempts apart. Each field and each call of a
// script costs what the others wait for: what is not there is none, 0, or as
// the claim says.
const CLOCK = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Lua would write large numbers with an exponent
local function text(number) return string.format('%.0f', number) end
`;

const RENEW = `
-- Never sooner than it was: a call that was late on the way must not cut short
-- the one that overtook it.
local function renew(lease, ms)
  lease = math.max(tonumber(lease), now + ms)
  redis.call('hset', KEYS[1], 'lease', text(lease))
  if lease > now + redis.call('pttl', KEYS[1]) then
    redis.call('pexpireat', KEYS[1], text(lease))
  end
end
`;

const CLAIM = `
local fingerprint, owner, policy = ARGV[1], ARGV[2], ARGV[5]
local lease, ttl, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local found = redis.call('hmget', KEYS[1], 'status', 'fingerprint', 'answer')
local status = found[1]
if status then
  if found[2] ~= fingerprint then return {'mismatch'} end
  if status == 'completed' then return {'replay', found[3]} end
end
${CLOCK}
local attempt, fence, crashes = 1, time[1] * 1000000 + time[2], 0
if status then
  local key = redis.call('hmget', KEYS[1], 'owner', 'past', 'attempt', 'crashes',
    'fence', 'lease', 'claimed')
  ${RENEW}
  local function granted(outcome, attempt, fence)
    local answer = {outcome, attempt, fence}
    local all = redis.call('hgetall', KEYS[1])
    for i = 1, #all, 2 do
      if string.sub(all[i], 1, 5) == 'step:' then
        answer[#answer + 1] = string.sub(all[i], 6)
        answer[#answer + 1] = all[i + 1]
      end
    end
    return answer
  end

  if status == 'processing' then
    if key[1] == owner then
      renew(key[6], lease)
      return granted(key[4] and 'taken_over' or 'claimed', key[3], key[5])
    end
    local left = key[6] - now
    if left > 0 then return {'in_progress', text(math.ceil(left / 1000))} end
    crashes = (key[4] or 0) + 1
    if policy == 'refuse' or crashes >= most then return {'abandoned'} end
  end
  attempt = key[3] + 1
  fence = math.max(fence, key[5] + 1)
  -- thirty-two owners, of 36 characters and a space: more have long given up
  local past = string.sub(key[1] .. ' ' .. (key[2] or ''), 1, 32 * 37)
  redis.call('hset', KEYS[1], 'status', 'processing', 'owner', owner, 'past', past,
    'attempt', attempt, 'fence', text(fence), 'lease', text(now + lease),
    'claimed', text(now))
  redis.call('hsetnx', KEYS[1], 'created', key[7])
  redis.call('hdel', KEYS[1], 'error', 'code', 'ended', 'crashes')
  if crashes > 0 then redis.call('hset', KEYS[1], 'crashes', crashes) end
  if ARGV[7] ~= '' then redis.call('hset', KEYS[1], 'metadata', ARGV[7]) end
  redis.call('pexpire', KEYS[1], text(math.max(lease, ttl)))
  return granted(crashes == 0 and 'claimed' or 'taken_over', text(attempt), text(fence))
end

fence = text(fence)
redis.call('hset', KEYS[1], 'status', 'processing', 'fingerprint', fingerprint,
  'owner', owner, 'attempt', '1', 'fence', fence, 'lease', text(now + lease),
  'claimed', text(now))
if ARGV[7] ~= '' then redis.call('hset', KEYS[1], 'metadata', ARGV[7]) end
redis.call('pexpire', KEYS[1], lease > ttl and ARGV[3] or ARGV[4])
return {'claimed', '1', fence}
`;

const SETTLE = `${CLOCK}${RENEW}
local call, owner, ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = redis.call('hmget', KEYS[1], 'status', 'owner', 'past', 'lease', 'claimed')
local status = key[1]
if not status then return {'gone'} end

if key[2] == owner then
  if status == 'processing' then
    if call == 'renew' then
      renew(key[4], ms)
    elseif call == 'checkpoint' then
      redis.call('hsetnx', KEYS[1], 'step:' .. ARGV[4], ARGV[5])
      renew(key[4], ms)
    else
      redis.call('hset', KEYS[1], 'status', call, 'ended', text(now), unpack(ARGV, 4))
      -- Counted from the claim, but never gone before it could be asked for.
      redis.call('pexpireat', KEYS[1], text(math.max(key[5] + ms, now + ms / 2)))
    end
    return {'recorded'}
  end
  if status == call then return {'recorded'} end
-- Of another generation, or a stranger: the answer is not theirs to see.
-- Whole tokens: a part of one is nobody's.
elseif owner == '' or not key[3] or
  not string.find(' ' .. key[3] .. ' ', ' ' .. owner .. ' ', 1, true) then
  return {'gone'}
end
if status ~= 'completed' then return {'lost'} end
return {'replay', redis.call('hget', KEYS[1], 'answer')}
`;

// What says that an effect has happened: tried for as long as there is time.
const RECORDS: ReadonlySet<string> = new Set(["completed", "checkpoint"]);

const READ = `
return redis.call('hmget', KEYS[1], 'status', 'answer')
`;

const STATUS = `${CLOCK}
local key = redis.call('hmget', KEYS[1], 'status', 'attempt', 'code', 'created',
  'claimed', 'ended', 'lease')
if not key[1] then return {false} end
key[4] = key[4] or key[5]
local is_stuck = key[1] == 'processing' and tonumber(key[7]) <= now
key[7] = text(now + redis.call('pttl', KEYS[1]))
key[8] = is_stuck and 'stuck' or ''
for _, field in ipairs(redis.call('hkeys', KEYS[1])) do
  if string.sub(field, 1, 5) == 'step:' then key[#key + 1] = string.sub(field, 6) end
end
return key
`;

/**
 * The ledger in Redis 5 or newer, or what speaks its commands: for those who
 * outgrow one Postgres and accept what their Redis promises. Scripts on the
 * server decide, by the server's clock: one trip a transition. A key is one
 * hash, so one slot of a cluster, and leaves by itself when its time is over.
 * It has no batches, notifications, statistics, or row level security, takes
 * whatever user id it is given, and bounds none of them. The operators' page,
 * their lists and `idempotency_resolve` are of Postgres: here an operator settles
 * a key with `complete` or `fail` and the `owner` that its hash names.
 *
 * **What it promises** is what Redis keeps, on the server that answers; the
 * figures, and how to send `WAIT`, are in `docs/redis.md`:
 *
 * - `maxmemory-policy noeviction`, or keys are forgotten while they are live,
 *   and what they stand for runs a second time.
 * - With `appendfsync always` what was recorded survives a crash of the server;
 *   with `everysec` that of the process, and a crash of the machine loses up to
 *   a second of claims and answers; without an append-only file a server that
 *   is started again has forgotten everything.
 * - Replication is asynchronous. After a failover the new primary lacks what
 *   was under way to it: those requests run again, even with
 *   `onAbandoned: "refuse"` where the claim was among it. A primary that froze
 *   may grant what its successor grants too, which `min-replicas-to-write` does
 *   not prevent.
 * - A `send` that adds `WAIT 1` to each command, over the same connection, and
 *   throws where no replica has it, closes both with one replica a primary. The
 *   connection does nothing else meanwhile.
 * - A fence is greater than that of every earlier attempt of its key. Over all
 *   keys it is the server's clock in microseconds: greater than every earlier
 *   one on that server as long as its clock is not set back, and over the
 *   servers of a cluster, or a key that has expired, as well as their clocks
 *   agree.
 *
 * Where an effect must not happen twice come what may, use Postgres with
 * synchronous commit, or an effect that takes an idempotency key of its own.
 *
 * @param send Sends one command: see the examples. The name that decides on a
 * cluster's node is always the fourth part of the command.
 * @throws {TypeError} When it is no function, such as a client itself.
 *
 * @example With node-redis, ioredis, or a cluster
 * ```ts ignore
 * redisLedger((command) => nodeRedis.sendCommand(command));
 * redisLedger(([name, ...rest]) => ioredis.call(name!, ...rest));
 * redisLedger((command) => cluster.sendCommand(command[3], false, command));
 * ```
 *
 * @example With a REST gateway that takes a command as a list
 * ```ts ignore
 * redisLedger(async (command) => {
 *   const body = JSON.stringify(command);
 *   const response = await fetch(url, { method: "POST", headers, body });
 *   const { result, error } = await response.json();
 *   if (error !== undefined) throw new Error(error);
 *   return result;
 * });
 * ```
 */
export function redisLedger(
  send: SendCommand,
  options: RedisLedgerOptions = {},
): Ledger {
  const { prefix = "idempotency:", timeoutMs = 5000 } = options;
  if (typeof send !== "function") {
    throw new TypeError(
      "Cannot keep a ledger over this client: expected a function that sends a command, such as (command) => client.sendCommand(command)",
    );
  }

  const run = async (
    attempted: string,
    script: string,
    identity: Identity,
    ...args: string[]
  ): Promise<(string | null)[]> => {
    // What is in braces would choose the slot: one scope's keys would share it.
    const name = prefix + identityName(identity).replaceAll("{", "\\u007b");
    const evaluate = async () => {
      const digest = digests.get(script) ?? await sha1Hex(script);
      try {
        return await send(["EVALSHA", digest, "1", name, ...args]);
      } catch (error) {
        if (!String(error).includes("NOSCRIPT")) throw error;
        return await send(["EVAL", script, "1", name, ...args]);
      }
    };
    const again = (error: unknown) => {
      if (isMistakeOfSetUp(error)) throw error;
      return pRetry(evaluate, {
        retries: RECORDS.has(args[0]!) ? Infinity : 1,
        minTimeout: 50,
        maxTimeout: 1_000,
        randomize: true,
        maxRetryTime: timeoutMs,
        shouldRetry: ({ error }) => !isMistakeOfSetUp(error),
      });
    };
    try {
      // Each call is safe to send twice, and a connection that breaks loses the
      // answers that are under way: an effect's record, too.
      return texts(await inTime(evaluate().catch(again), timeoutMs));
    } catch (cause) {
      throw refusalOf(attempted, cause);
    }
  };

  const settle = async (
    attempted: string,
    identity: Identity,
    call: "renew" | "checkpoint" | "completed" | "failed",
    ...args: string[]
  ): Promise<SettleResult> => {
    const answer = await run(attempted, SETTLE, identity, call, ...args);
    const [outcome, ...rest] = answer;
    switch (outcome) {
      case "recorded":
      case "lost":
      case "gone":
        return { outcome };
      case "replay":
        return { outcome, answer: answerOf(attempted, rest) };
      default:
        throw unexpected(attempted, answer);
    }
  };

  return {
    place: `${placeOf(send)} ${prefix}`,

    async claim(identity, terms): Promise<ClaimResult> {
      const attempted = "claim the key";
      const { metadata } = terms;
      const answer = await run(
        attempted,
        CLAIM,
        identity,
        terms.fingerprint,
        terms.ownerToken,
        ms(terms.leaseSeconds),
        ms(terms.ttlSeconds),
        terms.onAbandoned,
        String(terms.maxAttempts),
        metadata === null ? "" : JSON.stringify(metadata),
      );
      const [outcome, ...rest] = answer;
      switch (outcome) {
        case "mismatch":
        case "abandoned":
          return { outcome };
        case "in_progress":
          return { outcome, retryAfterSeconds: Number(rest[0]) };
        case "replay":
          return { outcome, answer: answerOf(attempted, rest) };
        case "claimed":
        case "taken_over": {
          const [attempt, fence, ...steps] = rest;
          return {
            outcome,
            attempt: Number(attempt),
            fence: Number(fence),
            steps: stepsOf(steps),
          };
        }
        default:
          throw unexpected(attempted, answer);
      }
    },

    renew: (identity, ownerToken, leaseSeconds) =>
      settle(
        "renew the lease",
        identity,
        "renew",
        ownerToken,
        ms(leaseSeconds),
      ),

    checkpoint: (identity, ownerToken, step, result, leaseSeconds) =>
      settle(
        "keep the step's result",
        identity,
        "checkpoint",
        ownerToken,
        ms(leaseSeconds),
        step,
        JSON.stringify(result) ?? "null",
      ),

    complete: (identity, ownerToken, answer, ttlSeconds) =>
      settle(
        "record the answer",
        identity,
        "completed",
        ownerToken,
        ms(ttlSeconds),
        "code",
        String(answer.status),
        "answer",
        textOf(answer),
      ),

    fail: (identity, ownerToken, failure, ttlSeconds) =>
      settle(
        "record the failure",
        identity,
        "failed",
        ownerToken,
        ms(ttlSeconds),
        "error",
        failure.message.slice(0, 2000),
        "code",
        String(failure.status ?? ""),
      ),

    async read(identity) {
      const attempted = "read the key";
      const [status, ...rest] = await run(attempted, READ, identity);
      return status === "completed" ? answerOf(attempted, rest) : null;
    },

    async status(identity) {
      const attempted = "read the key's status";
      const parts = await run(attempted, STATUS, identity);
      return parts[0] == null ? null : statusOf(attempted, parts);
    },
  };
}

// Redis' own prefixes of errors, and of what an older or restricted one says.
const SET_UP_ERRORS = /\b(NOAUTH|WRONGPASS|NOPERM|unknown command)\b/i;

function isMistakeOfSetUp(cause: unknown): boolean {
  return SET_UP_ERRORS.test(String(cause));
}

function refusalOf(attempted: string, cause: unknown): Error {
  return isMistakeOfSetUp(cause)
    ? new LedgerMisconfiguredError(
      attempted,
      "Redis refused it, check the password, and that its user may run EVALSHA, EVAL and what the scripts call on keys of the prefix",
      cause,
    )
    : new LedgerUnavailableError(attempted, cause);
}

function ms(seconds: number): string {
  return String(Math.round(seconds * 1000));
}

// Base64 is never this.
const NOT_KEPT = "-";

// One field: each costs the server as much as all of its text. JSON breaks no
// line.
function textOf({ status, headers, body }: Answer): string {
  const kept = body === null ? NOT_KEPT : toBase64(body);
  return `${status}\n${JSON.stringify(headers)}\n${kept}`;
}

function answerOf(attempted: string, parts: (string | null)[]): Answer {
  const [code, headers, body] = parts[0]?.split("\n") ?? [];
  if (code === undefined || headers === undefined || body === undefined) {
    throw unexpected(attempted, parts);
  }
  return {
    status: Number(code),
    headers: JSON.parse(headers),
    body: body === NOT_KEPT ? null : bytesOfBase64(body),
  };
}

function statusOf(attempted: string, parts: (string | null)[]): KeyStatus {
  const [status, attempt, code, ...rest] = parts;
  const [created, claimed, ended, expires, stuck, ...steps] = rest;
  switch (status) {
    case "processing":
    case "completed":
    case "failed":
      return {
        status,
        attempt: Number(attempt),
        createdAt: new Date(Number(created)),
        claimedAt: new Date(Number(claimed)),
        completedAt: ended == null ? null : new Date(Number(ended)),
        expiresAt: new Date(Number(expires)),
        statusCode: code ? Number(code) : null,
        isStuck: stuck === "stuck",
        finishedSteps: steps.map(String).sort(),
      };
    default:
      throw unexpected(attempted, parts);
  }
}

function stepsOf(parts: (string | null)[]): Record<string, unknown> {
  const names = parts.filter((_part, place) => place % 2 === 0);
  return Object.fromEntries(
    names.map((name, place) => [
      name,
      JSON.parse(parts[2 * place + 1] ?? "null"),
    ]),
  );
}

/** Some clients give bytes or numbers where others give texts. */
function texts(answer: unknown): (string | null)[] {
  if (!Array.isArray(answer)) throw new TypeError("the answer is no list");
  return answer.map((part: unknown) => {
    if (part === null || part === undefined) return null;
    return part instanceof Uint8Array
      ? new TextDecoder().decode(part)
      : String(part);
  });
}

function unexpected(attempted: string, answer: unknown): Error {
  const text = JSON.stringify(answer)?.slice(0, 200);
  return new LedgerUnavailableError(
    attempted,
    new TypeError(`the script answered ${text}`),
  );
}

const digests = new Map<string, string>();

async function sha1Hex(script: string): Promise<string> {
  const text = new TextEncoder().encode(script);
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-1", text));
  const digest = bytesToHex(bytes);
  digests.set(script, digest);
  return digest;
}
