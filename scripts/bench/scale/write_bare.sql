-- an insert, and at the next turn its update
\if :turn_bare = 0
\set b random(1, 9000000000000000000)
\set c :b % :users
insert into public.idempotency_keys (
  owner, user_id, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at
)
values (
  '00000000-0000-4000-8000-' || lpad(:c::text, 12, '0'),
  ('00000000-0000-4000-8000-' || lpad(:c::text, 12, '0'))::uuid, 'bench', lpad(:b::text, 36, '0'),
  :fingerprint, :token, now() + interval '60 seconds', now() + interval '1 day'
);
\set turn_bare 1
\else
update public.idempotency_keys
set
  status = 'completed', status_code = 200, response = :body, response_encoding = 'text',
  response_headers = :headers, completed_at = now(), lease_expires_at = null
where owner = '00000000-0000-4000-8000-' || lpad(:c::text, 12, '0') and scope = 'bench'
  and idempotency_key = lpad(:b::text, 36, '0');
\set turn_bare 0
\endif
