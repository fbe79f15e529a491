-- How much one owner may hold, whoever asks for it.
begin;
select plan(31);

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

-- in bytes: much for one owner, and little for a test
reset role;
delete from idempotency.full_owners;
update idempotency.limits set keys = 100, bytes = 1000000;
create function pg_temp.noise(p_bytes integer) returns text language sql volatile as $$
  -- what no compression makes smaller
  select left(string_agg(md5(random()::text), ''), p_bytes) from generate_series(1, p_bytes / 32 + 1);
$$;
create function pg_temp.complete(p_owner text, p_key text, p_response text, p_headers jsonb default '{}') returns text language sql as $$
  select (public.idempotency_complete(p_owner, 's', p_key, k.owner_token, 200, p_response, 'text', p_headers)).outcome
  from public.idempotency_keys as k
  where k.owner = p_owner and k.idempotency_key = p_key;
$$;
create function pg_temp.kept(p_owner text, p_key text) returns text language sql as $$
  select k.status || ' ' || k.response_encoding from public.idempotency_keys as k
  where k.owner = p_owner and k.idempotency_key = p_key;
$$;
set local role service_role;

select pg_temp.claim('user_big', 'key-' || n) from generate_series(1, 7) as n \g /dev/null
select pg_temp.complete('user_big', 'key-1', pg_temp.noise(1000000)) \g /dev/null
select is(pg_temp.kept('user_big', 'key-1'), 'completed text', 'an answer that there is room for is kept');
-- as a look by chance would have it
insert into idempotency.full_owners values ('user_big');
select throws_like(
  $$select pg_temp.claim('user_big', 'one-more')$$, '%hold 10%bytes, and may hold 1000000%',
  'an owner whose answers fill the room gets no more keys'
);
select throws_ok($$select pg_temp.claim('user_big', 'one-more')$$, 'PT429', null, 'with the refusal of too many keys');
select is(pg_temp.claim('user_big', 'key-2'), 'in_progress', 'and goes on with those there are');
select is(pg_temp.complete('user_big', 'key-2', pg_temp.noise(20000), '{"x-kind": "small"}'), 'completed', 'the end of an attempt is recorded');
select is(pg_temp.kept('user_big', 'key-2'), 'completed none', 'without a large body');
select is(
  (select k.response_headers::text from public.idempotency_keys as k where k.owner = 'user_big' and k.idempotency_key = 'key-2'),
  '{"x-kind": "small"}', 'but with its headers'
);
select pg_temp.complete('user_big', 'key-3', pg_temp.noise(16000)) \g /dev/null
select is(pg_temp.kept('user_big', 'key-3'), 'completed text', 'and with a small one');
select pg_temp.complete('user_big', 'key-6', 'small', jsonb_build_object('location', '/orders/6', 'x-noise', pg_temp.noise(20000))) \g /dev/null
select is(pg_temp.kept('user_big', 'key-6'), 'completed none', 'large headers weigh as much as a body');
select is(
  (select left(k.response_headers::text, 60) from public.idempotency_keys as k where k.owner = 'user_big' and k.idempotency_key = 'key-6'),
  '{"location": "/orders/6"}', 'and leave where the result is'
);
select pg_temp.complete('user_big', 'key-7', 'small', jsonb_build_object('location', '/' || pg_temp.noise(20000))) \g /dev/null
select is(
  (select left(k.response_headers::text, 60) from public.idempotency_keys as k where k.owner = 'user_big' and k.idempotency_key = 'key-7'),
  '{}', 'unless that is large itself'
);
select throws_ok(
  $$
    select public.idempotency_checkpoint('user_big', 's', k.idempotency_key, k.owner_token, 'a', to_jsonb(pg_temp.noise(20000)), 60)
    from public.idempotency_keys as k
    where k.owner = 'user_big' and k.idempotency_key = 'key-4'
  $$,
  'PT429', null, 'a step leaves nothing large'
);
create function pg_temp.step(p_owner text, p_key text, p_step text, p_bytes integer) returns text language sql as $$
  select (public.idempotency_checkpoint(p_owner, 's', p_key, k.owner_token, p_step, to_jsonb(pg_temp.noise(p_bytes)), 60)).outcome
  from public.idempotency_keys as k
  where k.owner = p_owner and k.idempotency_key = p_key;
$$;
select pg_temp.step('user_big', 'key-5', 'first', 12000) \g /dev/null
select throws_ok(
  $$select pg_temp.step('user_big', 'key-5', 'second', 12000)$$, 'PT429', null, 'nor do many steps of one key, however small each is'
);
select is(pg_temp.claim('user_small', 'one-more'), 'claimed', 'others have room');
insert into idempotency.full_owners values ('') on conflict do nothing;
select pg_temp.claim('', 'large') \g /dev/null
select pg_temp.complete('', 'large', pg_temp.noise(1100000)) \g /dev/null
select is(pg_temp.kept('', 'large'), 'completed text', 'and the project itself is not limited');
update idempotency.limits set bytes = 10000000;
select is(pg_temp.claim('user_big', 'one-more'), 'claimed', 'where there may be more, there is');
select is_empty($$select from idempotency.full_owners where owner <> ''$$, 'and an owner with room is weighed no longer');

-- where cleanup is late: what has expired takes nobody's room
update idempotency.limits set bytes = 1000000;
select pg_temp.claim('user_late', 'key-' || n) from generate_series(1, 3) as n \g /dev/null
select pg_temp.complete('user_late', 'key-1', pg_temp.noise(1000000)) \g /dev/null
update public.idempotency_keys set expires_at = now() - interval '1 second' where owner = 'user_late' and idempotency_key = 'key-1';
insert into idempotency.full_owners values ('user_late') on conflict do nothing;
select is(pg_temp.step('user_late', 'key-2', 'large', 20000), 'recorded', 'beside answers that have expired there is room for a step');
select pg_temp.complete('user_late', 'key-2', pg_temp.noise(20000)) \g /dev/null
select is(pg_temp.kept('user_late', 'key-2'), 'completed text', 'and for an answer');
select is(pg_temp.claim('user_late', 'one-more'), 'claimed', 'and for a new key, to which the old one gives way');

-- what a key that failed says counts as well
select pg_temp.claim('user_failing', 'key-' || n) from generate_series(1, 99) as n \g /dev/null
update idempotency.limits set bytes = 150000;
select (public.idempotency_fail('user_failing', 's', k.idempotency_key, k.owner_token, pg_temp.noise(2000))).outcome
from public.idempotency_keys as k where k.owner = 'user_failing' \g /dev/null
insert into idempotency.full_owners values ('user_failing') on conflict do nothing;
select throws_ok($$select pg_temp.claim('user_failing', 'one-more')$$, 'PT429', null, 'messages of failures take room, too');

-- whoever is not marked is weighed by chance, once in 16 MiB
update idempotency.limits set bytes = 10000000;
create function pg_temp.until_not_kept() returns boolean language plpgsql as $$
declare
  v_large constant text := pg_temp.noise(4000000);
begin
  for v_number in 1..99 loop
    perform pg_temp.claim('user_large', 'large-' || v_number);
    perform pg_temp.complete('user_large', 'large-' || v_number, v_large);
    if pg_temp.kept('user_large', 'large-' || v_number) = 'completed none' then
      return true;
    end if;
  end loop;
  return false;
exception when sqlstate 'PT429' then
  return true;
end;
$$;
select ok(pg_temp.until_not_kept(), 'a sample finds who stores too much');

-- supabase db dump --data-only, as a seed
reset role;
set local session_replication_role = replica;
select lives_ok(
  $$
    insert into idempotency.limits (only_row, keys, bytes) values (true, 7, 8);
    insert into idempotency.rollup (id, counted_fence, horizon_fence) values (true, 9, 10);
  $$,
  'a project is seeded with what another one dumped'
);
select results_eq(
  'select l.keys, l.bytes, r.counted_fence from idempotency.limits as l cross join idempotency.rollup as r',
  'values (7, 8::bigint, 9::bigint)', 'and goes on as that one stood'
);

select * from finish();
rollback;
