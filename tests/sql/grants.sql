-- Which role may call what: the whole list, so that a function that is added has to be added here.
begin;
select plan(14);

select results_eq(
  $$
    select
      p.proname::text collate "default",
      has_function_privilege('anon', p.oid, 'execute'),
      has_function_privilege('authenticated', p.oid, 'execute'),
      has_function_privilege('service_role', p.oid, 'execute'),
      p.prosecdef
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ 'idempotency'
    order by p.proname collate "C"
  $$,
  $$
    values
      ('cleanup_expired_idempotency_keys', false, false, true, true),
      ('get_idempotency_status', false, true, true, true),
      ('idempotency_answer_to_loser', false, false, false, false),
      ('idempotency_checkpoint', false, true, true, true),
      ('idempotency_claim', false, true, true, true),
      ('idempotency_claim_many', false, true, true, true),
      ('idempotency_complete', false, true, true, true),
      ('idempotency_count_replays', false, true, true, true),
      ('idempotency_decide_claim', false, false, false, false),
      ('idempotency_enforce_key_limit', false, false, false, false),
      ('idempotency_fail', false, true, true, true),
      ('idempotency_held_keys', false, false, true, false),
      ('idempotency_hourly_statistics', false, false, true, false),
      ('idempotency_job_runs', false, false, true, true),
      ('idempotency_notify', false, true, true, true),
      ('idempotency_recorded_answer', false, true, true, false),
      ('idempotency_recount_statistics', false, false, true, false),
      ('idempotency_refresh_statistics', false, false, true, false),
      ('idempotency_renew', false, true, true, true),
      ('idempotency_resolve', false, false, true, true),
      ('idempotency_scope_statistics', false, false, true, false),
      ('idempotency_settle_item', false, false, false, false),
      ('idempotency_settle_many', false, true, true, true),
      ('idempotency_signed_in_user', false, false, false, false),
      ('idempotency_stuck_keys', false, false, true, true),
      ('idempotency_trusts_caller', false, false, false, false),
      ('idempotency_upkeep', false, false, true, false)
  $$,
  'users call what is for users, the service role what is for operators, nobody what is inside'
);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.claim(p_user uuid) returns text language sql as $$
  select (public.idempotency_claim(p_user, 'orders', 'same-key', repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600)).outcome;
$$;

create function pg_temp.renew(p_user uuid) returns text language sql as $$
  select (public.idempotency_renew(p_user, 'orders', 'same-key', '00000000-0000-4000-9000-000000000001', 60)).outcome;
$$;

create function pg_temp.checkpoint(p_user uuid) returns text language sql as $$
  select (public.idempotency_checkpoint(p_user, 'orders', 'same-key', '00000000-0000-4000-9000-000000000001', 'charge', '1', 60)).outcome;
$$;

set local role authenticated;
select throws_ok($$select pg_temp.renew(null)$$, '42501', null, 'nobody signed in renews nothing');
select throws_ok($$select pg_temp.checkpoint(null)$$, '42501', null, 'and records no step');

select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-00000000000a"}', true) \g /dev/null
select is(pg_temp.claim(null), 'claimed', 'a user claims');
select is(pg_temp.renew(null), 'renewed', 'renews');
select is(pg_temp.checkpoint('00000000-0000-4000-8000-00000000000a'), 'recorded', 'and records a step');
select throws_ok($$select public.idempotency_resolve('00000000-0000-4000-8000-00000000000a', 'orders', 'same-key', 'failed')$$, '42501', null, 'but resolves not even their own');
select throws_ok($$select * from public.idempotency_stuck_keys()$$, '42501', null, 'and lists none');

select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-00000000000b"}', true) \g /dev/null
select throws_ok($$select pg_temp.renew('00000000-0000-4000-8000-00000000000a')$$, '42501', null, 'somebody else does not renew it');
select throws_ok($$select pg_temp.checkpoint('00000000-0000-4000-8000-00000000000a')$$, '42501', null, 'nor record a step');
select is(pg_temp.renew(null), 'stale', 'and with the very token has no such key');

set local role anon;
select throws_ok($$select pg_temp.renew(null)$$, '42501', null, 'anon renews nothing');

set local role service_role;
select is(pg_temp.renew('00000000-0000-4000-8000-00000000000a'), 'renewed', 'the service role acts for any user');
select is(pg_temp.renew(null), 'stale', 'and without a user for the project, whose key this is not');

select * from finish();
rollback;
