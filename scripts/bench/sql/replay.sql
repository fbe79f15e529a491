-- as the ledger over a direct connection sends it
select 'replay' as outcome, status_code::integer as status_code, response, response_encoding, response_headers
from public.idempotency_keys
where owner = :user0 and scope = 'bench' and idempotency_key = :hot and request_fingerprint = :fingerprint
  and status = 'completed' and expires_at > clock_timestamp()
union all (
  select outcome, status_code, response, response_encoding, response_headers
  from public.idempotency_claim(:user0, 'bench', :hot, :fingerprint, :owner, 60, 86400)
)
limit 1;
