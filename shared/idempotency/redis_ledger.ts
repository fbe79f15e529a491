import { bytesOfBase64, toBase64 } from "./body.ts";
import { LedgerMisconfiguredError, LedgerUnavailableError } from "./errors.ts";
import { sha256Hex } from "./fingerprint.ts";
import {
  type Answer,
  type ClaimResult,
  type Identity,
  identityName,
  inTime,
  type KeyStatus,
  type Ledger,
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
  readonly prefix?: string;
  /**
   * How long to wait for an answer, in ms. Clients keep commands back while
   * they are not connected, and whoever called is waiting.
   *
   * @default {5000}
   */
  readonly timeoutMs?: number;
}

// A key of the ledger is one hash. Redis deletes it when it expires, so what is
// there is live. Scripts run one after the other and take longer than a
// microsecond, so the clock tells attempts apart.
const CLOCK = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local micros = time[1] * 1000000 + time[2]
-- Lua would write large numbers with an exponent
local function text(number) return string.format('%.0f', number) end
local function expire(at) redis.call('pexpireat', KEYS[1], text(at)) end
-- Never sooner than it was: a call that was late on the way must not cut short
-- the one that overtook it.
local function renew(lease, ms)
  lease = math.max(tonumber(lease), now + ms)
  redis.call('hset', KEYS[1], 'lease', text(lease))
  if lease > now + redis.call('pttl', KEYS[1]) then expire(lease) end
end
local function replay()
  local answer = redis.call('hmget', KEYS[1], 'code', 'headers', 'body')
  return {'replay', answer[1], answer[2], answer[3]}
end
`;

const CLAIM = `${CLOCK}
local fingerprint, owner, policy = ARGV[1], ARGV[2], ARGV[5]
local lease, ttl, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local key = redis.call('hmget', KEYS[1], 'status', 'fingerprint', 'owner',
  'past', 'attempt', 'crashes', 'fence', 'lease')
local status, past, crashes = key[1], '', 0

local function granted(outcome, attempt, fence)
  local answer = {outcome, text(attempt), text(fence)}
  local all = redis.call('hgetall', KEYS[1])
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 5) == 'step:' then
      answer[#answer + 1] = string.sub(all[i], 6)
      answer[#answer + 1] = all[i + 1]
    end
  end
  return answer
end

if status then
  if key[2] ~= fingerprint then return {'mismatch'} end
  if status == 'completed' then return replay() end
  if status == 'processing' then
    if key[3] == owner then
      renew(key[8], lease)
      local outcome = key[6] == '0' and 'claimed' or 'taken_over'
      return granted(outcome, key[5], key[7])
    end
    local left = key[8] - now
    if left > 0 then return {'in_progress', text(math.ceil(left / 1000))} end
    crashes = key[6] + 1
    if policy == 'refuse' or crashes >= most then return {'abandoned'} end
  end
  -- thirty-two owners, of 36 characters and a space: more have long given up
  past = string.sub(key[3] .. ' ' .. key[4], 1, 32 * 37)
end

local attempt = (key[5] or 0) + 1
local fence = math.max(micros, (key[7] or 0) + 1)
redis.call('hset', KEYS[1], 'status', 'processing', 'fingerprint', fingerprint,
  'owner', owner, 'past', past, 'attempt', text(attempt), 'crashes', text(crashes),
  'fence', text(fence), 'lease', text(now + lease), 'claimed', text(now), 'of', ARGV[8])
redis.call('hsetnx', KEYS[1], 'created', text(now))
redis.call('hdel', KEYS[1], 'error', 'code', 'ended')
if ARGV[7] ~= '' then redis.call('hset', KEYS[1], 'metadata', ARGV[7]) end
expire(now + math.max(lease, ttl))
return granted(crashes == 0 and 'claimed' or 'taken_over', attempt, fence)
`;

const SETTLE = `${CLOCK}
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
      expire(math.max(key[5] + ms, now + ms / 2))
    end
    return {'recorded'}
  end
  if status == call then return {'recorded'} end
-- Of another generation, or a stranger: the answer is not theirs to see.
-- Whole tokens: a part of one is nobody's.
elseif owner == '' or not string.find(' ' .. key[3] .. ' ', ' ' .. owner .. ' ', 1, true) then
  return {'gone'}
end
if status == 'completed' then return replay() end
return {'lost'}
`;

const READ = `
return redis.call('hmget', KEYS[1], 'status', 'code', 'headers', 'body')
`;

const STATUS = `${CLOCK}
local key = redis.call('hmget', KEYS[1], 'status', 'attempt', 'code', 'created',
  'claimed', 'ended', 'lease')
if not key[1] then return {false} end
local is_stuck = key[1] == 'processing' and tonumber(key[7]) <= now
key[7] = text(now + redis.call('pttl', KEYS[1]))
key[8] = is_stuck and 'stuck' or ''
for _, field in ipairs(redis.call('hkeys', KEYS[1])) do
  if string.sub(field, 1, 5) == 'step:' then key[#key + 1] = string.sub(field, 6) end
end
return key
`;

// Base64 is never this.
const NOT_KEPT = "-";

/**
 * The ledger in Redis 5 or newer, or what speaks its commands: for those who
 * outgrow one Postgres and accept what their Redis promises. Scripts on the
 * server decide, by the server's clock: one trip a transition. A key is one
 * hash, so one slot of a cluster, and leaves by itself when its time is over.
 * It has no batches, notifications, statistics, or row level security, and
 * takes whatever user id it is given.
 *
 * **What it promises** is what Redis keeps, on the server that answers:
 *
 * - `maxmemory-policy noeviction`, or keys are forgotten while they are live,
 *   and what they stand for runs a second time.
 * - With `appendfsync always` what was recorded survives a crash of the server;
 *   with `everysec` up to a second of claims and answers is lost, and their
 *   requests run again; without an append-only file, all since the snapshot.
 * - Replication is asynchronous. After a failover the new primary may lack the
 *   last claims and answers: those requests run again, or two at a time while
 *   the old primary is still reachable. `min-replicas-to-write 1` bounds that;
 *   `WAIT` narrows it and does not close it, and the ledger does not send it.
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

  const run = async (
    attempted: string,
    script: string,
    identity: Identity,
    ...args: string[]
  ): Promise<(string | null)[]> => {
    // Hashed: names are then short, and no scope's braces choose the slot.
    const name = prefix + await sha256Hex(identityName(identity));
    const evaluate = async () => {
      const digest = await sha1Hex(script);
      try {
        return await send(["EVALSHA", digest, "1", name, ...args]);
      } catch (error) {
        if (!String(error).includes("NOSCRIPT")) throw error;
        return await send(["EVAL", script, "1", name, ...args]);
      }
    };
    try {
      return texts(await inTime(evaluate(), timeoutMs));
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
        identityName(identity),
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
        "headers",
        JSON.stringify(answer.headers),
        "body",
        answer.body === null ? NOT_KEPT : toBase64(answer.body),
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

function refusalOf(attempted: string, cause: unknown): Error {
  return SET_UP_ERRORS.test(String(cause))
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

function answerOf(attempted: string, parts: (string | null)[]): Answer {
  const [code, headers, body] = parts;
  if (code == null || headers == null || body == null) {
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

const digests = new Map<string, Promise<string>>();

function sha1Hex(script: string): Promise<string> {
  const known = digests.get(script);
  if (known !== undefined) return known;
  const digest = crypto.subtle
    .digest("SHA-1", new TextEncoder().encode(script))
    .then((bytes) =>
      Array.from(
        new Uint8Array(bytes),
        (byte) => byte.toString(16).padStart(2, "0"),
      ).join("")
    );
  digests.set(script, digest);
  return digest;
}
