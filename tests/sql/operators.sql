-- What operators are shown: counted ahead and equal to a count of the rows, whatever happened between
-- two refreshes, and stuck keys exactly at any time.
begin;
select plan(70);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
set local role service_role;
delete from public.idempotency_keys;
delete from idempotency.replay_counts;
select public.idempotency_recount_statistics() \g /dev/null

create function pg_temp.owner(p_owner integer) returns uuid language sql as $$
  select ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid;
$$;

create function pg_temp.claim(p_key text, p_owner integer default 1, p_scope text default 'jobs') returns text language sql as $$
  select (public.idempotency_claim('', p_scope, p_key, repeat('a', 64), pg_temp.owner(p_owner), 60, 36000)).outcome;
$$;

create function pg_temp.complete(p_key text, p_owner integer default 1, p_scope text default 'jobs') returns text language sql as $$
  select (public.idempotency_complete('', p_scope, p_key, pg_temp.owner(p_owner), 200, 'x', 'text', null)).outcome;
$$;

create function pg_temp.fail(p_key text, p_owner integer default 1, p_scope text default 'jobs') returns text language sql as $$
  select (public.idempotency_fail('', p_scope, p_key, pg_temp.owner(p_owner), 'no luck')).outcome;
$$;

create function pg_temp.lapse(p_key text) returns void language sql as $$
  update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = p_key;
$$;

create function pg_temp.expire(p_key text) returns void language sql as $$
  update public.idempotency_keys
  set
    expires_at = now() - interval '1 second',
    lease_expires_at = case when lease_expires_at is not null then now() - interval '2 seconds' end
  where idempotency_key = p_key;
$$;

-- until what was claimed before is counted: a refresh ends where an earlier one began
create function pg_temp.refresh() returns bigint language plpgsql as $$
declare
  v_started constant timestamptz := clock_timestamp();
  v_counted bigint := 0;
  v_refresh record;
begin
  loop
    select * into v_refresh from public.idempotency_refresh_statistics();
    v_counted := v_counted + v_refresh.counted;
    exit when v_refresh.as_of >= v_started;
    perform pg_sleep(0.11);
  end loop;
  return v_counted;
end;
$$;

create view pg_temp.shown as
select scope, processing_count, stuck_count, completed_count, failed_count, execution_count, failure_count, replay_count
from public.idempotency_scope_statistics();

-- the same, from the rows
create view pg_temp.counted as
select
  k.scope,
  count(*) filter (where k.status = 'processing') as processing_count,
  count(*) filter (where k.lease_expires_at <= clock_timestamp()) as stuck_count,
  count(*) filter (where k.status = 'completed' and k.expires_at > clock_timestamp()) as completed_count,
  count(*) filter (where k.status = 'failed' and k.expires_at > clock_timestamp()) as failed_count,
  sum(k.attempt)::bigint as execution_count,
  sum(k.attempt - (k.status <> 'failed')::integer)::bigint as failure_count,
  0::bigint as replay_count
from public.idempotency_keys as k
group by grouping sets ((k.scope), ());

-- nothing yet
select is(pg_temp.refresh(), 0::bigint, 'of no keys none is counted');
select results_eq(
  'select * from pg_temp.shown',
  'values (null::text, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint)',
  'and all scopes together have nothing'
);

-- each state, then each way on from it
select pg_temp.claim('runs') \g /dev/null
select pg_temp.claim('done'), pg_temp.complete('done') \g /dev/null
select pg_temp.claim('failed'), pg_temp.fail('failed') \g /dev/null
select pg_temp.claim('dead'), pg_temp.lapse('dead') \g /dev/null
select pg_temp.claim('other', 1, 'orders'), pg_temp.complete('other', 1, 'orders') \g /dev/null
select is((select count(*) from public.idempotency_stuck_keys()), 1::bigint, 'a stuck key shows before it is counted');
update public.idempotency_keys set lease_expires_at = clock_timestamp() where idempotency_key = 'dead';
select is((select count(*) from public.idempotency_stuck_keys()), 1::bigint, 'from the moment on when its lease is over');
select is(pg_temp.refresh(), 5::bigint, 'each claim is counted once');
select set_eq('select * from pg_temp.shown', 'select * from pg_temp.counted', 'and shown as a count of the rows would');
select is((select count(*) from public.idempotency_stuck_keys()), 1::bigint, 'a stuck key shows after it is counted');

create temporary table before as
select 'hours' as part, to_jsonb(h) as content from idempotency.hours as h
union all select 'durations', to_jsonb(d) from idempotency.durations as d
union all select 'live', to_jsonb(l) from idempotency.live_keys as l
union all select 'open', to_jsonb(o) from idempotency.open_keys as o;
select is(pg_temp.refresh(), 0::bigint, 'a refresh without anything new counts nothing');
select set_eq(
  $$
    select 'hours' as part, to_jsonb(h) as content from idempotency.hours as h
    union all select 'durations', to_jsonb(d) from idempotency.durations as d
    union all select 'live', to_jsonb(l) from idempotency.live_keys as l
    union all select 'open', to_jsonb(o) from idempotency.open_keys as o
  $$,
  'select * from before',
  'and changes nothing'
);

select pg_temp.complete('runs') \g /dev/null
select is(pg_temp.claim('failed', 2), 'claimed', 'a failed key is retried');
select is(pg_temp.claim('dead', 2), 'taken_over', 'a stuck one is taken over');
select is((select count(*) from public.idempotency_stuck_keys()), 0::bigint, 'and is not stuck any more');
select pg_temp.lapse('failed') \g /dev/null
select is((select idempotency_key from public.idempotency_stuck_keys()), 'failed', 'the retry that lapses is, before it is counted');
select is((select stuck_count from pg_temp.shown where scope = 'jobs'), 1::bigint, 'by scope as well');
select pg_temp.refresh() \g /dev/null
select set_eq('select * from pg_temp.shown', 'select * from pg_temp.counted', 'what changed is counted as the difference');
select is((select idempotency_key from public.idempotency_stuck_keys()), 'failed', 'and stuck after it is counted');

select pg_temp.claim('failed', 3), pg_temp.fail('failed', 3) \g /dev/null
select pg_temp.fail('dead', 2) \g /dev/null
select pg_temp.refresh() \g /dev/null
select set_eq('select * from pg_temp.shown', 'select * from pg_temp.counted', 'so are attempts that began and ended between two refreshes');
select pg_temp.claim('failed', 4), pg_temp.complete('failed', 4), pg_temp.claim('dead', 3), pg_temp.complete('dead', 3) \g /dev/null
select pg_temp.refresh() \g /dev/null
select set_eq('select * from pg_temp.shown', 'select * from pg_temp.counted', 'and the answers at their end');
select is_empty('select from idempotency.open_keys', 'a key with an answer is not looked at again');

-- a new generation of a key
select pg_temp.claim('again'), pg_temp.fail('again') \g /dev/null
select pg_temp.refresh() \g /dev/null
select pg_temp.expire('again'), pg_temp.expire('done') \g /dev/null
select is(pg_temp.claim('again', 2), 'claimed', 'an expired key that failed starts anew');
select is(pg_temp.claim('done', 2), 'claimed', 'and one that was completed');
select pg_temp.lapse('done') \g /dev/null
select is((select idempotency_key from public.idempotency_stuck_keys()), 'done', 'which is stuck when its lease lapses');
select pg_temp.refresh() \g /dev/null
select is((select idempotency_key from public.idempotency_stuck_keys()), 'done', 'counted or not');
select is(
  (select array[processing_count, stuck_count, failed_count, execution_count, failure_count] from pg_temp.shown where scope = 'jobs'),
  array[2, 1, 0, 12, 6]::bigint[],
  'the executions of both generations are counted'
);

-- resolving, deleting
select is((public.idempotency_resolve('', 'jobs', 'done', 'completed', 200, 'x')).outcome, 'completed', 'a stuck key is resolved');
select is((select count(*) from public.idempotency_stuck_keys()), 0::bigint, 'and gone from the list');
delete from public.idempotency_keys where idempotency_key = 'again';
select pg_temp.refresh() \g /dev/null
select is((select processing_count from pg_temp.shown where scope = 'jobs'), 0::bigint, 'nobody is at work');
select is_empty('select from idempotency.open_keys', 'and a key that was deleted is forgotten');

-- in parts, and from the start
select pg_temp.claim('part-' || n), pg_temp.complete('part-' || n) from generate_series(1, 10) as n \g /dev/null
select pg_sleep(0.11), public.idempotency_refresh_statistics(1) \g /dev/null
select pg_sleep(0.11) \g /dev/null
select results_eq('select counted, behind from public.idempotency_refresh_statistics(4)', 'values (4::bigint, 6::bigint)', 'a refresh counts as many as it may, and says how many are left');
select ok(as_of between now() and clock_timestamp() - interval '100 milliseconds', 'up to the last that it counted')
from public.idempotency_refresh_statistics(4);
select pg_temp.refresh() \g /dev/null
select public.idempotency_recount_statistics() \g /dev/null
select pg_temp.refresh() \g /dev/null
select set_eq('select * from pg_temp.shown', 'select * from pg_temp.counted', 'a recount arrives at the rows that are there');

-- replays, hours, durations
select public.idempotency_count_replays('', 'jobs', 30) \g /dev/null
insert into idempotency.replay_counts (owner, user_id, scope, hour, replays)
values ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000a', 'jobs', date_trunc('hour', now(), 'UTC'), 15);
select pg_temp.refresh(), pg_temp.refresh() \g /dev/null
select is((select replay_count from pg_temp.shown where scope = 'jobs'), 45::bigint, 'replays are summed over owners, once');
select is(
  (select round(replay_rate::numeric, 4) from public.idempotency_scope_statistics() where scope = 'jobs'),
  round(45.0 / (45 + (select execution_count from pg_temp.counted where scope = 'jobs')), 4),
  'their rate is among replays and executions'
);
select results_eq(
  'select count(*), sum(executions), sum(replays), max(hour) from public.idempotency_hourly_statistics(48)',
  $$select 48::bigint, execution_count::numeric, 45::numeric, date_trunc('hour', clock_timestamp(), 'UTC') from pg_temp.counted where scope is null$$,
  'the chart has an entry for each hour'
);
insert into public.idempotency_keys (
  owner, scope, idempotency_key, request_fingerprint, status, owner_token, status_code, response_encoding, created_at, claimed_at, completed_at, expires_at
)
select
  '', 'slow', 'slow-' || n, repeat('a', 64), 'completed', gen_random_uuid(), 200, 'none', now(), now(), now() + make_interval(secs => n / 100.0), now() + interval '3 hours'
from generate_series(1, 1000) as n;
select pg_temp.refresh() \g /dev/null
select ok(duration_p50_ms between 4750 and 5250, 'the median is right within 5 %, not ' || duration_p50_ms)
from public.idempotency_scope_statistics() where scope = 'slow';
select ok(duration_p95_ms between 9025 and 9975, 'and the 95th percentile, not ' || duration_p95_ms)
from public.idempotency_scope_statistics() where scope = 'slow';

select results_eq(
  $$select scope from public.idempotency_scope_statistics(24, 2, 'orders')$$,
  $$values (null), ('orders'), ('slow')$$,
  'the scope that is named comes before the busiest'
);

-- a key that failed is retried shortly before it would have expired, and counted in the next hour only
select pg_temp.claim('retried'), pg_temp.fail('retried') \g /dev/null
select pg_temp.refresh() \g /dev/null
select pg_temp.claim('retried', 2) \g /dev/null
update idempotency.open_keys set expires_at = date_trunc('hour', now(), 'UTC') - interval '1 minute' where idempotency_key = 'retried';
update idempotency.rollup
set counted_at = now() - interval '2 hours', horizon_at = now() - interval '2 hours',
  next_at = case when next_at is not null then now() - interval '2 hours' end;
select pg_temp.refresh() \g /dev/null
select set_eq(
  $$select execution_count, failure_count from pg_temp.shown where scope = 'jobs'$$,
  $$select execution_count, failure_count from pg_temp.counted where scope = 'jobs'$$,
  'a retry is counted as the difference, however late'
);
select pg_temp.complete('retried', 2) \g /dev/null

-- expired ones leave by the hour, backlog and jobs
select results_eq('select expired_count, expired_is_more, oldest_expired_at is null from public.idempotency_upkeep()', 'values (0::bigint, false, true)', 'nothing waits for cleanup');
select pg_temp.expire('slow-1'), pg_temp.expire('slow-2') \g /dev/null
select results_eq('select expired_count, statistics_behind from public.idempotency_upkeep()', 'values (2::bigint, 0::bigint)', 'what does is counted');
reset role;
insert into idempotency.live_keys values (date_trunc('hour', now(), 'UTC') - interval '1 hour', 'slow', 'completed', 500);
set local role service_role;
select is((select completed_count from pg_temp.shown where scope = 'slow'), 1000::bigint, 'keys that have expired are not live');

reset role;
insert into idempotency.live_keys values (date_trunc('hour', clock_timestamp(), 'UTC'), 'ending', 'completed', 3600);
select pg_temp.refresh() \g /dev/null
set local role service_role;
select ok(
  completed_count - extract(epoch from date_trunc('hour', clock_timestamp(), 'UTC') + interval '1 hour' - clock_timestamp()) between -5 and 5,
  'of the keys that expire in this hour as many are live as it has left, not ' || completed_count
)
from pg_temp.shown where scope = 'ending';

reset role;
select to_regclass('cron.job') is null as has_no_cron \gset
set local role service_role;
select case when :'has_no_cron'::boolean then skip('pg_cron is not installed', 1) else
  results_eq(
    'select job, active from public.idempotency_job_runs()',
    $$values ('cleanup-expired-idempotency-keys', true), ('count-idempotency-statistics', true)$$,
    'both jobs are there'
  )
end;

reset role;
-- the clock was six hours ahead, and has been put right
update idempotency.rollup
set next_fence = coalesce(next_fence, counted_fence), next_at = clock_timestamp() + interval '6 hours',
  barrier = null, replays_at = clock_timestamp() + interval '6 hours';
select pg_temp.claim('put-back', 1, 'put-back') \g /dev/null
insert into idempotency.replay_counts (owner, scope, hour, replays)
values ('', 'put-back', date_trunc('hour', clock_timestamp() - interval '3 hours', 'UTC'), 7);
select public.idempotency_refresh_statistics(), pg_sleep(0.11) \g /dev/null
select public.idempotency_refresh_statistics(), pg_sleep(0.11) \g /dev/null
select public.idempotency_refresh_statistics(), pg_sleep(0.11) \g /dev/null
select public.idempotency_refresh_statistics(), pg_sleep(0.11) \g /dev/null
select is((select behind from public.idempotency_refresh_statistics()), 0::bigint, 'after the clock was put back counting goes on');
select is(
  (select replay_count from public.idempotency_scope_statistics() where scope = 'put-back'), 7::bigint,
  'and no replay is left out'
);

select throws_ok('select * from public.idempotency_refresh_statistics(0)', '22023', 'refreshing idempotency statistics: at most 1 to 1000000 claims can be counted in one call, not 0', 'a refresh of none is refused');
select throws_ok('select * from public.idempotency_scope_statistics(200)', '22023', 'reading idempotency statistics: there are 1 to 192 hours and 1 to 1000 scopes, not 200 and 50', 'and hours that are not kept');

-- what operators look up: requests, and one of them
delete from public.idempotency_keys;
select public.idempotency_claim('ada', 'orders', 'first', repeat('a', 64), pg_temp.owner(1), 60, 36000, p_metadata => '{"traceId": "t-1"}') \g /dev/null
select public.idempotency_checkpoint('ada', 'orders', 'first', pg_temp.owner(1), 'charge', '{"id": "ch_1"}', 60) \g /dev/null
select pg_temp.lapse('first') \g /dev/null
select public.idempotency_claim('ada', 'orders', 'first', repeat('a', 64), pg_temp.owner(2), 60, 36000) \g /dev/null
select pg_temp.claim('second'), pg_temp.fail('second'), pg_temp.claim('first'), pg_temp.complete('first') \g /dev/null
select pg_temp.claim('third'), pg_temp.lapse('third') \g /dev/null
select results_eq(
  'select owner, scope, idempotency_key, status, is_stuck, attempt, status_code, error_message from public.idempotency_recent_keys()',
  $$
    values
      ('', 'jobs', 'third', 'processing', true, 1, null::integer, null),
      ('', 'jobs', 'first', 'completed', false, 1, 200, null),
      ('', 'jobs', 'second', 'failed', false, 1, null, 'no luck'),
      ('ada', 'orders', 'first', 'processing', false, 2, null, null)
  $$,
  'requests are listed, the latest first'
);
create function pg_temp.keys(variadic p_parts text[]) returns text language plpgsql as $$
declare
  v_keys text;
begin
  execute format('select string_agg(idempotency_key, %L order by fence desc) from public.idempotency_recent_keys(%s)', ' ', array_to_string(p_parts, ', ')) into v_keys;
  return v_keys;
end;
$$;
select is(pg_temp.keys($$p_scope => 'orders'$$), 'first', 'of one scope');
select is(pg_temp.keys($$p_owner => ''$$), 'third first second', 'of the project itself');
select is(pg_temp.keys($$p_owner => 'ada'$$), 'first', 'of one user');
select is(pg_temp.keys($$p_idempotency_key => 'first'$$), 'first first', 'of one key, whoever has it');
select is(pg_temp.keys($$p_status => 'processing'$$), 'third first', 'at work or stuck');
select is(pg_temp.keys($$p_status => 'stuck'$$), 'third', 'stuck');
select is(pg_temp.keys($$p_status => 'failed'$$, $$p_scope => 'jobs'$$), 'second', 'or failed, in one scope');
select is(
  pg_temp.keys('p_limit => 2', format('p_below_fence => %s', (select fence from public.idempotency_keys where idempotency_key = 'third'))),
  'first second', 'or from where another list ended'
);
update public.idempotency_keys set claimed_at = now() - interval '3 hours' where owner = 'ada';
update public.idempotency_keys set claimed_at = now() - interval '2 hours' where idempotency_key = 'second';
select is(pg_temp.keys($$p_from => now() - interval '1 hour'$$), 'third first', 'claimed since a moment');
select is(pg_temp.keys($$p_until => now() - interval '1 hour'$$), 'second first', 'before one');
select is(
  pg_temp.keys($$p_from => now() - interval '150 minutes'$$, $$p_until => now() - interval '90 minutes'$$), 'second', 'or between two'
);
select is(pg_temp.keys($$p_until => now() - interval '1 day'$$), null, 'when there was nothing');
select throws_ok($$select * from public.idempotency_recent_keys(p_status => 'gone')$$, '22023', null, 'a status that there is not is refused');
select throws_ok('select * from public.idempotency_recent_keys(p_limit => 0)', '22023', null, 'and a list of none');

select results_eq(
  $$
    select
      status, is_stuck, is_expired, attempt, crashed_attempts -> 0 ->> 'attempt', crashed_attempts -> 0 ->> 'steps', steps, metadata,
      request_fingerprint, response_bytes, lease_expires_at > now(), completed_at is null
    from public.idempotency_read_key('ada', 'orders', 'first')
  $$,
  $$
    values (
      'processing', false, false, 2, '1', '1', '{"charge": {"id": "ch_1"}}'::jsonb, '{"traceId": "t-1"}'::jsonb,
      repeat('a', 64), null::integer, true, true
    )
  $$,
  'a key tells of its attempts, steps and trace'
);
select results_eq(
  $$select status, status_code, response, response_encoding, response_bytes from public.idempotency_read_key('', 'jobs', 'first')$$,
  $$values ('completed', 200, 'x', 'text', 1)$$,
  'and of its answer'
);
update public.idempotency_keys set response = repeat('x', 65537) where owner = '' and idempotency_key = 'first';
select results_eq(
  $$select response, response_bytes from public.idempotency_read_key('', 'jobs', 'first')$$,
  'values (null::text, 65537)',
  'how long it is, where it is long'
);
select is_empty($$select * from public.idempotency_read_key('', 'orders', 'first')$$, 'a key that is not there has no story');

insert into public.idempotency_keys (
  owner, scope, idempotency_key, request_fingerprint, status, owner_token, status_code, response_encoding, completed_at, expires_at
)
select '', 'bulk', 'bulk-' || n, repeat('a', 64), 'completed', gen_random_uuid(), 200, 'none', now(), now() + interval '3 hours'
from generate_series(1, 10000) as n;
select results_eq(
  $$select idempotency_key, fence = (select min(k.fence) from public.idempotency_keys as k where k.scope = 'bulk') from public.idempotency_recent_keys('jobs')$$,
  'values (null::text, true)',
  'a call looks at 10,000 keys, and says where it stopped'
);
select is(
  pg_temp.keys($$p_scope => 'jobs'$$, format('p_below_fence => %s', (select fence from public.idempotency_recent_keys('jobs')))),
  'third first second', 'so that the next one goes on there'
);
select is(pg_temp.keys($$p_owner => 'ada'$$), 'first', 'a user''s keys are found past all others');
select set_eq(
  $$select sum(executions) from public.idempotency_hourly_statistics(48, 'orders')$$,
  $$select coalesce(sum(executions), 0) from idempotency.hours where scope = 'orders'$$,
  'the chart can be of one scope'
);

select * from finish();
rollback;
