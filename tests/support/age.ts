import type { Send } from "../../scripts/cluster/redis.ts";

// The clock of a server decides, so what it holds is moved into the past.

/** A statement that makes all keys `$1` seconds older, leases and TTLs included. */
export const AGE_KEYS = `
  update public.idempotency_keys set
    created_at = created_at - make_interval(secs => $1),
    claimed_at = claimed_at - make_interval(secs => $1),
    completed_at = completed_at - make_interval(secs => $1),
    lease_expires_at = lease_expires_at - make_interval(secs => $1),
    expires_at = expires_at - make_interval(secs => $1)`;

const AGE = `
for _, name in ipairs(redis.call('keys', '*')) do
  for _, field in ipairs({'lease', 'claimed', 'created', 'ended'}) do
    if redis.call('hexists', name, field) == 1 then
      redis.call('hincrby', name, field, -ARGV[1])
    end
  end
  redis.call('pexpire', name, redis.call('pttl', name) - ARGV[1])
end`;

/** Makes everything on a Redis server this much older, leases and TTLs included. */
export async function ageRedis(send: Send, seconds: number): Promise<void> {
  await send(["EVAL", AGE, "0", String(seconds * 1000)]);
}
