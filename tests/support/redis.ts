import type { Send } from "../../scripts/cluster/redis.ts";

// The server's clock decides, so what it holds is moved into the past.
const AGE = `
for _, name in ipairs(redis.call('keys', '*')) do
  for _, field in ipairs({'lease', 'claimed', 'created', 'ended'}) do
    if redis.call('hexists', name, field) == 1 then
      redis.call('hincrby', name, field, -ARGV[1])
    end
  end
  redis.call('pexpire', name, redis.call('pttl', name) - ARGV[1])
end`;

/** Makes everything on a server this much older, leases and TTLs included. */
export async function ageRedis(send: Send, seconds: number): Promise<void> {
  await send(["EVAL", AGE, "0", String(seconds * 1000)]);
}
