-- Who may do what: two users, anon, the service role.
begin;
select plan(27);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
$$;

create function pg_temp.claim(p_user uuid) returns text language sql as $$
  select (public.idempotency_claim(p_user, 'orders', 'same-key', repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600)).outcome;
$$;

create function pg_temp.complete(p_user uuid, p_response text) returns text language sql as $$
  select (public.idempotency_complete(p_user, 'orders', 'same-key', '00000000-0000-4000-9000-000000000001', 200, p_response, 'text', null)).outcome;
$$;

set local role authenticated;
select throws_ok($$select pg_temp.claim(null)$$, '42501', null, 'nobody signed in, no claim');

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
select is(pg_temp.claim(null), 'claimed', 'a user claims');
select is(pg_temp.complete('00000000-0000-4000-8000-00000000000a', 'of a'), 'completed', 'and may say who they are');
select throws_ok($$select pg_temp.claim('00000000-0000-4000-8000-00000000000b')$$, '42501', null, 'but not claim for somebody else');
select throws_ok($$select pg_temp.complete('00000000-0000-4000-8000-00000000000b', 'x')$$, '42501', null, 'nor complete');
select throws_ok($$select public.idempotency_fail('00000000-0000-4000-8000-00000000000b', 'orders', 'same-key', gen_random_uuid(), 'x')$$, '42501', null, 'nor fail');
select throws_ok($$select public.idempotency_count_replays('00000000-0000-4000-8000-00000000000b', 'orders', 1)$$, '42501', null, 'nor count');
select throws_ok($$select * from public.get_idempotency_status('same-key', null, '00000000-0000-4000-8000-00000000000b')$$, '42501', null, 'nor ask');
select throws_ok($$select public.cleanup_expired_idempotency_keys()$$, '42501', null, 'nor clean up');
select lives_ok($$select public.idempotency_count_replays(null, 'orders', 2)$$, 'a user counts replays');

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null
select is(pg_temp.claim(null), 'claimed', 'the same key of another user is another key');
select is((select count(*) from public.idempotency_keys), 1::bigint, 'a user sees one row of two');
select is((select count(*) from public.idempotency_keys where response is not null), 0::bigint, 'and not the other''s answer');
select is((select sum(total_count) from public.v_idempotency_stats), 1::numeric, 'the statistics count one key');
select is((select sum(replay_count) from public.v_idempotency_stats), 0::numeric, 'and none of the other''s replays');
select is((select count(*) from public.get_idempotency_status('same-key')), 1::bigint, 'the status is of one key');
select throws_ok($$update public.idempotency_keys set status = 'failed'$$, '42501', null, 'a user updates no row');
select throws_ok($$delete from public.idempotency_keys$$, '42501', null, 'and deletes none');
select throws_ok($$insert into public.idempotency_replay_counts values (null, 'x', now(), 1)$$, '42501', null, 'and inserts none');

set local role anon;
select throws_ok($$select pg_temp.claim('00000000-0000-4000-8000-00000000000a')$$, '42501', null, 'anon claims nothing');
select throws_ok($$select * from public.get_idempotency_status('same-key')$$, '42501', null, 'anon asks nothing');
select throws_ok($$select * from public.idempotency_keys$$, '42501', null, 'anon sees no key');
select throws_ok($$select * from public.v_idempotency_stats$$, '42501', null, 'anon sees no statistics');

set local role service_role;
select is(pg_temp.claim(null), 'claimed', 'for the service role null is the project itself');
select is(pg_temp.claim('00000000-0000-4000-8000-00000000000a'), 'replay', 'and it may act for any user');
select is((select count(*) from public.idempotency_keys where scope = 'orders'), 3::bigint, 'it sees all rows');

reset role;
select is_empty(
  $$
    select p.proname from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ 'idempotency'
      and (has_function_privilege('anon', p.oid, 'execute') or not p.proconfig @> array['search_path=""'])
  $$,
  'no function of the ledger is open to anon or leaves its search path open'
);

select * from finish();
rollback;
