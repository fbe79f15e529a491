-- What an uptime check wants to know, in one call whose cost does not grow with the tables.
--
-- security definer: the versions of migrations and the runs of jobs are in schemas that the API roles
-- do not reach, and the service role is to learn these few figures of them and nothing else.

create function public.health_report(
  p_backlog_limit integer default 1000,
  p_keys_looked_at integer default 10000
) returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_schema_version text;
  v_cleanup_status text := 'unknown';
  v_cleaned_up_at timestamptz;
  v_expired integer;
  v_stuck integer;
begin
  if (p_backlog_limit between 1 and 10000 and p_keys_looked_at between 1 and 100000) is not true then
    raise exception 'reporting health: the limits must be 1 to 10000 and 1 to 100000, not % and %',
      coalesce(p_backlog_limit::text, 'null'), coalesce(p_keys_looked_at::text, 'null')
      using errcode = '22023';
  end if;

  -- Both are other people's schemas, which need be neither there nor open: named at run time only.
  begin
    if to_regclass('supabase_migrations.schema_migrations') is not null then
      execute 'select max(m.version) from supabase_migrations.schema_migrations as m' into v_schema_version;
    end if;
  exception when insufficient_privilege then
    null;
  end;

  begin
    if to_regclass('cron.job_run_details') is not null then
      -- Runs are never cleaned up by pg_cron and have no index but their number: from the newest
      -- back, as far as a job a second gets in three hours. One that never began has no end.
      execute $query$
        select r.status, r.end_time
        from (select d.* from cron.job_run_details as d order by d.runid desc limit 10000) as r
        join cron.job as j on j.jobid = r.jobid and j.jobname = 'cleanup-expired-idempotency-keys'
        where r.end_time is not null or r.status = 'failed'
        order by r.runid desc
        limit 1
      $query$ into v_cleanup_status, v_cleaned_up_at;

      -- Of no run it is not known whether one is still to come, unless what it would have deleted waits.
      v_cleanup_status := coalesce(v_cleanup_status, case
        when exists (
          select from public.idempotency_keys as k
          where k.expires_at <= v_now - interval '3 hours'
            and (k.lease_expires_at is null or k.lease_expires_at <= v_now)
        ) then 'overdue'
        else 'never'
      end);
    end if;
  exception when insufficient_privilege then
    v_cleanup_status := 'unknown';
  end;

  -- along idempotency_keys_expires_at, and no further than the limit
  select count(*) into v_expired
  from (
    select from public.idempotency_keys as k
    where k.expires_at <= v_now
    order by k.expires_at
    limit p_backlog_limit
  ) as e;

  -- No index serves this (see idempotency_stuck_keys): so among those claimed last only, by their fence.
  select count(*) into v_stuck
  from (
    select k.status, k.lease_expires_at
    from public.idempotency_keys as k
    order by k.fence desc
    limit p_keys_looked_at
  ) as newest
  where newest.status = 'processing' and newest.lease_expires_at <= v_now;

  return jsonb_build_object(
    'schema_version', v_schema_version,
    'cleanup_status', v_cleanup_status,
    'cleaned_up_at', v_cleaned_up_at,
    'expired_keys', v_expired,
    'stuck_keys', v_stuck
  );
end;
$$;

comment on function public.health_report(integer, integer) is
  'For uptime checks: schema version, last cleanup, expired keys up to a limit, and stuck ones among the newest keys.';

revoke all on function public.health_report(integer, integer) from public, anon, authenticated, service_role;
grant execute on function public.health_report(integer, integer) to service_role;
