select status, status_code, response, response_encoding, response_headers
from public.idempotency_keys
where owner = :user0 and scope = 'bench' and idempotency_key = :hot;
