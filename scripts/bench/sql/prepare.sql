-- What each run starts from: a ledger in use, one completed key to replay, one held key a client to
-- renew, and a user for each client: a shared one would make the clients queue for the lock that its
-- foreign key takes, in the bare statements as in the functions.
insert into auth.users (id)
select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid from generate_series(0, 3) as n
on conflict do nothing;

delete from public.idempotency_keys where scope = 'bench';

insert into public.idempotency_keys (
  owner, scope, idempotency_key, request_fingerprint, owner_token, status, status_code, response,
  response_encoding, response_headers, completed_at, expires_at
)
select
  -- of many: one owner may not have as many keys
  'other-' || n % 1000, 'bench-others', 'other-' || n, repeat('a', 64),
  '00000000-0000-4000-9000-000000000000', 'completed', 200, repeat('x', 300),
  'text', '{"content-type": "application/json"}', now(), now() + interval '1 day'
from generate_series(1, 100000) as n
where not exists (select from public.idempotency_keys where scope = 'bench-others');

select count(outcome)
from
  generate_series(0, 3) as n,
  lateral public.idempotency_claim(
    '00000000-0000-4000-8000-000000000000', 'bench', 'held-' || n, repeat('a', 64),
    '00000000-0000-4000-9000-000000000000', 60, 86400
  );

select outcome from public.idempotency_claim(
  '00000000-0000-4000-8000-000000000000', 'bench', 'hot', repeat('a', 64),
  '00000000-0000-4000-9000-000000000000', 60, 86400
);
select outcome from public.idempotency_complete(
  '00000000-0000-4000-8000-000000000000', 'bench', 'hot', '00000000-0000-4000-9000-000000000000',
  200, repeat('x', 300), 'text', '{"content-type": "application/json"}', 86400
);
