-- What the uptime check is told, and who is told it.
begin;
select plan(16);

select results_eq(
  $$
    select
      has_function_privilege('anon', p.oid, 'execute'),
      has_function_privilege('authenticated', p.oid, 'execute'),
      has_function_privilege('service_role', p.oid, 'execute'),
      p.prosecdef, p.proconfig @> array['search_path=""']
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname = 'health_report'
  $$,
  $$values (false, false, true, true, true)$$,
  'the service role alone asks for health'
);

create function pg_temp.report(p_field text) returns text language sql as $$
  select public.health_report(2, 3) ->> p_field;
$$;

create function pg_temp.key(p_name text, p_lease interval, p_expiry interval) returns void language sql as $$
  insert into public.idempotency_keys (owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
  values ('', 'health', p_name, repeat('a', 64), gen_random_uuid(), now() + p_lease, now() + p_expiry);
$$;

delete from public.idempotency_keys;

select is(
  pg_temp.report('schema_version'),
  (select max(version) from supabase_migrations.schema_migrations),
  'the version is that of the newest migration'
);

set local role service_role;
select is(pg_temp.report('expired_keys'), '0', 'nothing expired');
select is(pg_temp.report('stuck_keys'), '0', 'nothing stuck');
select is(pg_temp.report('cleanup_status'), 'never', 'no cleanup yet');
select throws_ok($$select public.health_report(0, 1)$$, '22023', null, 'a limit of none is refused');
select throws_ok($$select public.health_report(1, 100001)$$, '22023', null, 'and one beyond bounds');
select throws_ok($$select public.health_report(null, null)$$, '22023', null, 'and an unknown one');
reset role;

select pg_temp.key('expired-' || n, '-2 hours', '-1 hour') from generate_series(1, 3) as n \g /dev/null
select is(pg_temp.report('expired_keys'), '2', 'expired keys are counted up to the limit');
select is(pg_temp.report('stuck_keys'), '3', 'as stuck they count too');
select pg_temp.key('running-' || n, '1 hour', '2 hours') from generate_series(1, 3) as n \g /dev/null
select is(pg_temp.report('stuck_keys'), '0', 'stuck ones are looked for among the newest only');

insert into cron.job_run_details (jobid, runid, status, start_time, end_time)
select j.jobid, 1000000 + n, case n when 2 then 'failed' else 'succeeded' end, now(), case n when 3 then null else now() end
from cron.job as j, generate_series(1, 3) as n
where j.jobname = 'cleanup-expired-idempotency-keys';
select is(pg_temp.report('cleanup_status'), 'failed', 'the last run that has ended is told');
select isnt(pg_temp.report('cleaned_up_at'), null, 'and when');

insert into cron.job_run_details (jobid, runid, status, return_message)
select j.jobid, 1000004, 'failed', 'connection failed' from cron.job as j where j.jobname = 'cleanup-expired-idempotency-keys';
select is(pg_temp.report('cleaned_up_at'), null, 'one that could not begin is told, too');

-- Of as many runs of other jobs as there may be, no more than the newest are read.
insert into cron.job_run_details (jobid, runid, status, end_time)
select 0, 2000000 + n, 'succeeded', now() from generate_series(1, 10000) as n;
select is(pg_temp.report('cleanup_status'), 'never', 'older runs are not looked for');
select pg_temp.key('left', '-5 hours', '-4 hours') \g /dev/null
select is(pg_temp.report('cleanup_status'), 'overdue', 'but that cleanup has left what expired hours ago is told');

select * from finish();
rollback;
