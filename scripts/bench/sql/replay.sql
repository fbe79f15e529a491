-- as the ledger over a direct connection sends it
select k.status_code::integer as status_code, k.response, k.response_encoding, k.response_headers,
  case
    when k.owner is null
      then row_to_json(public.idempotency_claim(:user0, 'bench', :hot, :fingerprint, :owner, 60, 86400))
  end as answer
from (values (1)) as one
left join public.idempotency_keys as k
  on k.owner = :user0 and k.scope = 'bench' and k.idempotency_key = :hot and k.request_fingerprint = :fingerprint
  and k.status = 'completed' and k.expires_at > clock_timestamp();
