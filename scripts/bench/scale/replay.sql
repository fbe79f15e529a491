-- as the ledger over a direct connection sends it, for any of the keys
\set r random(1, :keys)
\set u :r % :users
select k.status_code::integer as status_code, k.response, k.response_encoding, k.response_headers,
  case
    when k.owner is null
      then row_to_json(public.idempotency_claim(
        '00000000-0000-4000-8000-' || lpad(:u::text, 12, '0'), 'bench', lpad(:r::text, 36, '0'),
        :fingerprint, :token, 60, 86400
      ))
  end as answer
from (values (1)) as one
left join public.idempotency_keys as k
  on k.owner = '00000000-0000-4000-8000-' || lpad(:u::text, 12, '0') and k.scope = 'bench'
  and k.idempotency_key = lpad(:r::text, 36, '0') and k.request_fingerprint = :fingerprint
  and k.status = 'completed' and k.expires_at > clock_timestamp();
