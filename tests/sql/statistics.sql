-- The numbers of the statistics view, replay counts and the status of a key.
begin;
select plan(24);

set local role service_role;
delete from public.idempotency_keys;
delete from idempotency.replay_counts;
insert into public.idempotency_keys (
  owner, scope, idempotency_key, request_fingerprint, status, attempt, owner_token, lease_expires_at,
  status_code, response_encoding, created_at, claimed_at, completed_at, expires_at
)
select
  '', 's', key, repeat('a', 64), status, attempt, gen_random_uuid(), now() + lease,
  status_code, case when status = 'completed' then 'none' end,
  now() - interval '90 seconds', now() - interval '90 seconds', now() - interval '90 seconds' + took, now() + expiry
from (values
  ('done-1', 'completed', 200, 1, null, interval '100 milliseconds', interval '1 hour'),
  ('done-2', 'completed', 201, 2, null, interval '300 milliseconds', interval '-1 second'),
  ('running', 'processing', null, 1, interval '1 minute', null, interval '1 hour'),
  ('stuck', 'processing', null, 1, interval '-1 second', null, interval '1 hour'),
  ('thrown', 'failed', null, 1, null, interval '1 minute', interval '1 hour')
) as rows (key, status, status_code, attempt, lease, took, expiry);

select lives_ok($$select public.idempotency_count_replays('', 's', 4)$$, 'replays are counted');
select lives_ok($$select public.idempotency_count_replays('', 's', 14)$$, 'and added up');
select lives_ok($$select public.idempotency_count_replays('', 'unknown', 1)$$, 'those of a scope without keys are left out');
select is((select count(*) from idempotency.replay_counts), 1::bigint, 'one row per owner, scope and hour');
select throws_ok($$select public.idempotency_count_replays('', 's', 0)$$, '22023', 'counting replays: the count must be 1 to 100000, not 0', 'a count of none is refused');
insert into idempotency.replay_counts (owner, scope, hour, replays) values ('', 's', now() - interval '2 days', 1000);

select results_eq(
  $$select total_count, processing_count, completed_count, failed_count, stuck_count, expired_count from public.v_idempotency_stats where scope = 's'$$,
  $$values (5::bigint, 2::bigint, 2::bigint, 1::bigint, 1::bigint, 1::bigint)$$,
  'keys are counted by state'
);
select is((select replay_count from public.v_idempotency_stats where scope = 's'), 18::bigint, 'replays are counted as far back as the keys go');
select is((select replay_rate from public.v_idempotency_stats where scope = 's'), 0.75::double precision, 'the rate is replays among replays and executions');
select is((select oldest_processing_seconds from public.v_idempotency_stats where scope = 's'), 90::double precision, 'the oldest running one is 90 seconds old');
select is((select round(duration_p50_ms::numeric) from public.v_idempotency_stats where scope = 's'), 200::numeric, 'p50 is between the two durations');
select is((select round(duration_p95_ms::numeric) from public.v_idempotency_stats where scope = 's'), 290::numeric, 'p95 is close to the longer one');

select is((select is_stuck from public.get_idempotency_status('stuck')), true, 'the status says that a run is stuck');
select is((select is_expired from public.get_idempotency_status('done-2', 's')), true, 'and that a key has expired');
-- later than now(), which is when this transaction began
update public.idempotency_keys set lease_expires_at = clock_timestamp(), expires_at = clock_timestamp() where idempotency_key = 'running';
select results_eq(
  $$select is_stuck, is_expired from public.get_idempotency_status('running')$$, 'values (true, true)', 'both as of this moment'
);
select is_empty($$select * from public.get_idempotency_status('stuck', 'other')$$, 'another scope is another key');

-- refusals: answers, final or not, that say what was wrong with the request
create function pg_temp.end_with(p_key text, p_status integer, p_is_final boolean) returns void language sql as $$
  select public.idempotency_claim('', 'refusing', p_key, repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 600);
  select case
    when p_is_final then public.idempotency_complete(
      '', 'refusing', p_key, '00000000-0000-4000-9000-000000000001', p_status, '{}', 'text', null
    )
    else public.idempotency_fail(
      '', 'refusing', p_key, '00000000-0000-4000-9000-000000000001', 'it was not to be', null, p_status
    )
  end;
$$;

select pg_temp.end_with('invalid', 400, true), pg_temp.end_with('unpaid', 402, true), pg_temp.end_with('to-confirm', 409, false),
  pg_temp.end_with('too-many', 429, false), pg_temp.end_with('broken', 503, false), pg_temp.end_with('thrown', null, false),
  pg_temp.end_with('created', 201, true), pg_temp.end_with('elsewhere', 303, true), pg_temp.end_with('final-error', 500, true)
\g /dev/null
select results_eq(
  $$select total_count, completed_count, failed_count, refused_count from public.v_idempotency_stats where scope = 'refusing'$$,
  'values (9::bigint, 5::bigint, 2::bigint, 4::bigint)',
  'answers of 400 to 499 are refusals, final or not, and none of them is a failure'
);
select is_empty(
  $$select from public.idempotency_keys where status = 'failed' and completed_at is null$$, 'whatever failed has ended'
);

-- the clock was put back while two of them ran
update public.idempotency_keys set claimed_at = now() + interval '6 hours' where scope = 'refusing' and idempotency_key = 'created';
select pg_temp.end_with('running-on', 201, true) \g /dev/null
update public.idempotency_keys
set claimed_at = now() + interval '6 hours', status = 'processing', completed_at = null, lease_expires_at = now()
where scope = 'refusing' and idempotency_key = 'running-on';
select ok(
  duration_p50_ms >= 0 and duration_p95_ms >= 0 and oldest_processing_seconds = 0, 'no time that is shown is below 0'
) from public.v_idempotency_stats where scope = 'refusing';

-- counted ahead in a large ledger, for whoever sees all of it
reset role;
analyze public.idempotency_keys;
select idempotency.keep_statistics(1000000000)\g /dev/null
select is_empty('select from idempotency.kept_statistics', 'a small ledger is counted when somebody looks');
select idempotency.keep_statistics(1)\g /dev/null
delete from public.idempotency_keys where scope = 's' and idempotency_key = 'done-1';
set local role service_role;
select is((select total_count from public.v_idempotency_stats where scope = 's'), 5::bigint, 'a large one was counted ahead, as of when it says');
reset role;
update idempotency.kept_statistics set as_of = now() - interval '1 hour';
set local role service_role;
select is((select as_of from public.v_idempotency_stats where scope = 's'), now() - interval '1 hour', 'which is an hour ago');
reset role;
select idempotency.keep_statistics(1)\g /dev/null
select is((select total_count from public.v_idempotency_stats where scope = 's'), 4::bigint, 'and is counted again in time');
update idempotency.kept_statistics set total_count = 1000, as_of = now() + interval '2 hours';
select idempotency.keep_statistics(1)\g /dev/null
select is((select total_count from public.v_idempotency_stats where scope = 's'), 4::bigint, 'also after the clock was put back');
update idempotency.kept_statistics set total_count = 1000, as_of = now() - interval '2 days';
select is((select total_count from public.v_idempotency_stats where scope = 's'), 4::bigint, 'what no schedule counts any more is counted when somebody looks');

select * from finish();
rollback;
