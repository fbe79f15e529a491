\set r random(1, :keys)
\set u :r % :users
select status, status_code, response, response_encoding, response_headers
from public.idempotency_keys
where owner = '00000000-0000-4000-8000-' || lpad(:u::text, 12, '0') and scope = 'bench'
  and idempotency_key = lpad(:r::text, 36, '0');
