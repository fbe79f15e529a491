-- a whole first run with a key that lives for :ttl seconds
\set w random(1, 9000000000000000000)
\set v :w % :users
select outcome
from public.idempotency_claim(
  '00000000-0000-4000-8000-' || lpad(:v::text, 12, '0'), 'bench', lpad(:w::text, 36, '0'),
  :fingerprint, :token, 1, :ttl
);
select outcome
from public.idempotency_complete(
  '00000000-0000-4000-8000-' || lpad(:v::text, 12, '0'), 'bench', lpad(:w::text, 36, '0'),
  :token, 200, :body, 'text', :headers, :ttl
);
