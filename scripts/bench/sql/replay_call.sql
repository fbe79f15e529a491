select outcome, status_code, response, response_encoding, response_headers
from public.idempotency_claim(:user0, 'bench', :hot, :fingerprint, :owner, 60, 86400);
