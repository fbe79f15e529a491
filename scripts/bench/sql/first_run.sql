\if :picked = 0
select (array[:user0, :user1, :user2, :user3])[1 + :client_id] as user \gset
\set picked 1
\endif
\set n random(1, 9000000000000000000)
select outcome
from public.idempotency_claim(:user, 'bench', :n, :fingerprint, :owner, 60, 86400);
select outcome
from public.idempotency_complete(:user, 'bench', :n, :owner, 200, :body, 'text', :headers, 86400);
