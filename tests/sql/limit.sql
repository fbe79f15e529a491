-- How many keys one signed-in user may hold.
begin;
select plan(5);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
insert into public.idempotency_keys (user_id, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
select '00000000-0000-4000-8000-00000000000a', 's', 'key-' || n, repeat('a', 64), gen_random_uuid(), now(), now() + interval '1 hour'
from generate_series(1, 10000) as n;
insert into public.idempotency_counted_users values ('00000000-0000-4000-8000-00000000000a');

create function pg_temp.claim(p_key text) returns text language sql as $$
  select (public.idempotency_claim('00000000-0000-4000-8000-00000000000a', 's', p_key, repeat('a', 64), gen_random_uuid(), 60, 3600)).outcome;
$$;

set local role authenticated;
select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-00000000000a"}', true) \g /dev/null
select throws_ok($$select pg_temp.claim('one-more')$$, 'PT429', null, 'a user with 10,000 keys gets no more');
select is(pg_temp.claim('key-7'), 'claimed', 'but may go on with those there are');

set local role service_role;
select is(pg_temp.claim('from-service'), 'claimed', 'the limit does not bind the service role');
update public.idempotency_keys set lease_expires_at = now() - interval '2 seconds', expires_at = now() - interval '1 second' where idempotency_key ~ '^key-1';

set local role authenticated;
select is(pg_temp.claim('after-expiry'), 'claimed', 'expired keys make room without waiting for cleanup');
select pg_temp.claim('and-another') \g /dev/null
reset role;
select is_empty('select from public.idempotency_counted_users', 'a user with room is counted no longer');

select * from finish();
rollback;
