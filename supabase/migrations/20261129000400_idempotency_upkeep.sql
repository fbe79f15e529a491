-- Whether what runs on its own does: cleanup, and the counting of statistics.

create function public.idempotency_upkeep() returns table (
  -- at most 100,000, which is what one run of cleanup removes
  expired_count bigint,
  expired_is_more boolean,
  oldest_expired_at timestamptz,
  -- Postgres's own estimate, as of its last look; expired ones and all users'
  about_keys bigint,
  table_bytes bigint,
  statistics_as_of timestamptz,
  statistics_behind bigint
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  c_most constant integer := 100000;
  v_now constant timestamptz := clock_timestamp();
begin
  return query
  select
    least(e.number, c_most),
    e.number > c_most,
    (
      select k.expires_at from public.idempotency_keys as k
      where k.expires_at <= v_now
      order by k.expires_at
      limit 1
    ),
    greatest(c.reltuples, 0)::bigint,
    pg_total_relation_size('public.idempotency_keys'),
    nullif(r.counted_at, '-infinity'),
    coalesce(pg_sequence_last_value('public.idempotency_fence_seq'), 0) - r.counted_fence
  from public.idempotency_rollup as r
  cross join pg_catalog.pg_class as c
  cross join (
    -- one more than shown, in the index alone
    select count(*) as number
    from (
      select from public.idempotency_keys as k where k.expires_at <= v_now limit c_most + 1
    ) as expired
  ) as e
  where c.oid = 'public.idempotency_keys'::regclass;
end;
$$;

comment on function public.idempotency_upkeep() is
  'For operators: what waits for cleanup, what the ledger takes, and how old the statistics are.';

-- security definer: the schema cron belongs to the owner, the service role does not reach it
create function public.idempotency_job_runs(p_limit integer default 10) returns table (
  job text,
  schedule text,
  active boolean,
  status text,
  message text,
  started_at timestamptz,
  ended_at timestamptz
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if (p_limit between 1 and 100) is not true then
    raise exception 'listing runs of jobs: the limit must be 1 to 100, not %', coalesce(p_limit::text, 'null')
      using errcode = '22023';
  end if;

  if to_regclass('cron.job') is null or to_regclass('cron.job_run_details') is null then
    return;
  end if;

  -- By name in a string: db lint refuses a table that is not there. The runs are kept in one table
  -- for all jobs, by number alone, so the look back has an end.
  return query execute $runs$
    select j.jobname::text, j.schedule::text, j.active, d.status::text, d.return_message::text, d.start_time, d.end_time
    from cron.job as j
    left join lateral (
      select r.*
      from cron.job_run_details as r
      where r.jobid = j.jobid and r.runid > (select max(l.runid) - 20000 from cron.job_run_details as l)
      order by r.runid desc
      limit $1
    ) as d on true
    where j.jobname in ('cleanup-expired-idempotency-keys', 'count-idempotency-statistics')
    order by j.jobname, d.runid desc
  $runs$ using p_limit;
end;
$$;

comment on function public.idempotency_job_runs(integer) is
  'For operators: the last runs of the ledger''s jobs, newest first; one row without a run for a job that never ran, none at all without pg_cron.';

revoke all on function public.idempotency_upkeep() from public, anon, authenticated, service_role;
revoke all on function public.idempotency_job_runs(integer) from public, anon, authenticated, service_role;
grant execute on function public.idempotency_upkeep() to service_role;
grant execute on function public.idempotency_job_runs(integer) to service_role;
