-- one of :users users, or the one named by :user_from where there is one
\set w random(1, 9000000000000000000)
\set v :user_from + :w % :users
select outcome
from public.idempotency_claim(
  '00000000-0000-4000-8000-' || lpad(:v::text, 12, '0'), 'bench-sessions', lpad(:w::text, 36, '0'),
  :fingerprint, :token, 60, 86400
);
select outcome
from public.idempotency_complete(
  '00000000-0000-4000-8000-' || lpad(:v::text, 12, '0'), 'bench-sessions', lpad(:w::text, 36, '0'),
  :token, 200, :body, 'text', :headers, 86400
);
