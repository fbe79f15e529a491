-- as the ledger over a direct connection sends it
select outcome, status_code, response, response_encoding, response_headers
from public.idempotency_recorded_answer(:user0, 'bench', :hot, :fingerprint)
union all (
  select outcome, status_code, response, response_encoding, response_headers
  from public.idempotency_claim(:user0, 'bench', :hot, :fingerprint, :owner, 60, 86400)
)
limit 1;
