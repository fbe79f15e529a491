\if :picked = 0
select 'held-' || :client_id as key \gset
\set picked 1
\endif
select outcome
from public.idempotency_renew(:user0, 'bench', :key, :owner, 60);
