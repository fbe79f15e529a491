-- As the ledger over a direct connection sends it. Which key is chosen anew for every twentieth: a
-- statement of its own, so that the two that are compared have nothing else to do.
\set reads (:reads + 1) % 20
\if :reads = 1
\set r random(1, :keys)
\set u :r % :users
select '00000000-0000-4000-8000-' || lpad(:u::text, 12, '0') as owner, lpad(:r::text, 36, '0') as key \gset
\endif
select k.status_code::integer as status_code, k.response, k.response_encoding, k.response_headers,
  case
    when k.owner is null
      then row_to_json(public.idempotency_claim(:owner, 'bench', :key, :fingerprint, :token, 60, 86400))
  end as answer
from (values (1)) as one
left join public.idempotency_keys as k
  on k.owner = :owner and k.scope = 'bench' and k.idempotency_key = :key and k.request_fingerprint = :fingerprint
  and k.status = 'completed' and k.expires_at > clock_timestamp();
