-- How many keys one owner may hold, whoever asks for them.
begin;
select plan(7);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
insert into public.idempotency_keys (owner, user_id, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
select u.id::text, u.id, 's', 'key-' || n, repeat('a', 64), gen_random_uuid(), now(), now() + interval '1 hour'
from auth.users as u, generate_series(1, 10000) as n
where u.id = '00000000-0000-4000-8000-00000000000a';
insert into public.idempotency_keys (owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
select '', 's', 'key-' || n, repeat('a', 64), gen_random_uuid(), now(), now() + interval '1 hour'
from generate_series(1, 10000) as n;
insert into idempotency.full_owners values ('00000000-0000-4000-8000-00000000000a'), ('');

create function pg_temp.claim(p_owner text, p_key text) returns text language sql as $$
  select (public.idempotency_claim(p_owner, 's', p_key, repeat('a', 64), gen_random_uuid(), 60, 3600)).outcome;
$$;

set local role service_role;
select throws_ok(
  $$select pg_temp.claim('00000000-0000-4000-8000-00000000000a', 'one-more')$$, 'PT429', null,
  'an owner with 10,000 keys gets no more, in the service role''s hands too'
);
select is(pg_temp.claim('00000000-0000-4000-8000-00000000000a', 'key-7'), 'taken_over', 'but may go on with those there are');
select is(pg_temp.claim('user_2abc', 'one-more'), 'claimed', 'others have room');
select is(pg_temp.claim('', 'one-more'), 'claimed', 'and the project itself is not limited');

update public.idempotency_keys
set lease_expires_at = now() - interval '2 seconds', expires_at = now() - interval '1 second'
where idempotency_key ~ '^key-1' and owner <> '';
select is(
  pg_temp.claim('00000000-0000-4000-8000-00000000000a', 'after-expiry'), 'claimed', 'expired keys make room without waiting for cleanup'
);
select pg_temp.claim('00000000-0000-4000-8000-00000000000a', 'and-another') \g /dev/null
select is_empty($$select from idempotency.full_owners where owner <> ''$$, 'an owner with room is counted no longer');

-- whoever is not marked is counted by chance, one claim in 256
insert into public.idempotency_keys (owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
select 'user_2abc', 's', 'key-' || n, repeat('a', 64), gen_random_uuid(), now(), now() + interval '1 hour'
from generate_series(1, 10000) as n;
create function pg_temp.until_refused() returns boolean language plpgsql as $$
begin
  for v_number in 1..6000 loop
    perform pg_temp.claim('user_2abc', 'found-' || v_number);
  end loop;
  return false;
exception when sqlstate 'PT429' then
  return true;
end;
$$;
select ok(pg_temp.until_refused(), 'a sample finds who has too many');

select * from finish();
rollback;
