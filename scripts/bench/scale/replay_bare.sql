\set reads (:reads + 1) % 20
\if :reads = 1
\set r random(1, :keys)
\set u :r % :users
select '00000000-0000-4000-8000-' || lpad(:u::text, 12, '0') as owner, lpad(:r::text, 36, '0') as key \gset
\endif
select status, status_code, response, response_encoding, response_headers
from public.idempotency_keys
where owner = :owner and scope = 'bench' and idempotency_key = :key;
