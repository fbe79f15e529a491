-- the key changes 200 times a second for all clients alike: each meets it fresh, or just claimed
select outcome
from public.idempotency_claim(
  :user0, 'bench', 'race-' || (extract(epoch from clock_timestamp()) * 200)::bigint, :fingerprint,
  gen_random_uuid(), 60, 86400
);
