-- Claims key after key, and completes each when :open others of this client have been claimed since.
\set i :i + 1
\if :i <= :most
\set k abs(hash(:i * 1000 + :client_id))
\set u :k % :users
select outcome
from public.idempotency_claim(
  '00000000-0000-4000-8000-' || lpad(:u::text, 12, '0'), 'bench', lpad(:k::text, 36, '0'),
  :fingerprint, :token, 3600, 86400
);
\endif
\if :i > :open
\set k abs(hash((:i - :open) * 1000 + :client_id))
\set u :k % :users
select outcome
from public.idempotency_complete(
  '00000000-0000-4000-8000-' || lpad(:u::text, 12, '0'), 'bench', lpad(:k::text, 36, '0'),
  :token, 200, :body, 'text', :headers, 86400
);
\endif
