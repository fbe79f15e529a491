-- One completed key to replay, and a user for each client: a shared one would make the clients
-- queue for the lock that its foreign key takes, in the bare statements as in the functions.
insert into auth.users (id)
select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid from generate_series(0, 3) as n
on conflict do nothing;

delete from public.idempotency_keys where scope = 'bench';

select outcome from public.idempotency_claim(
  '00000000-0000-4000-8000-000000000000', 'bench', 'hot', repeat('a', 64),
  '00000000-0000-4000-9000-000000000000', 60, 86400
);
select outcome from public.idempotency_complete(
  '00000000-0000-4000-8000-000000000000', 'bench', 'hot', '00000000-0000-4000-9000-000000000000',
  200, repeat('x', 300), 'text', '{"content-type": "application/json"}', 86400
);
