\if :picked = 0
select (array[:user0, :user1, :user2, :user3])[1 + :client_id] as user \gset
\set picked 1
\endif
\set n random(1, 9000000000000000000)
insert into public.idempotency_keys (
  owner, user_id, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at
)
values (
  :user, :user, 'bench', :n, :fingerprint, :owner, now() + interval '60 seconds', now() + interval '1 day'
);
update public.idempotency_keys
set
  status = 'completed', status_code = 200, response = :body, response_encoding = 'text',
  response_headers = :headers, completed_at = now(), lease_expires_at = null
where owner = :user and scope = 'bench' and idempotency_key = :n;
