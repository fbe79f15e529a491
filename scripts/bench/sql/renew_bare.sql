\if :picked = 0
select 'held-' || :client_id as key \gset
\set picked 1
\endif
update public.idempotency_keys
set lease_expires_at = now() + interval '60 seconds'
where owner = :user0 and scope = 'bench' and idempotency_key = :key;
