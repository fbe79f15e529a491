-- What runs on its own: removing what has expired, beside live traffic, and counting statistics.

create function idempotency.delete_expired(p_batch_size integer) returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_deleted integer;
begin
  -- by where they lie: whatever the planner believes of the table, they are looked for once
  delete from public.idempotency_keys as d
  where d.ctid = any (array(
    select k.ctid
    from public.idempotency_keys as k
    where k.expires_at <= v_now
      and (k.lease_expires_at is null or k.lease_expires_at <= v_now)
    order by k.expires_at
    limit p_batch_size
    -- a row that is being claimed anew is neither waited for nor deleted
    for update skip locked
  ));

  get diagnostics v_deleted = row_count;

  -- of an account that has ended nothing is kept; one whose claim is looking at it is no such account
  delete from idempotency.full_owners as f
  where f.owner = any (array(
    select o.owner
    from idempotency.full_owners as o
    where not exists (select from public.idempotency_keys as k where k.owner = o.owner)
    for update of o skip locked
  ));

  return v_deleted;
end;
$$;

comment on function idempotency.delete_expired(integer) is
  'Deletes a batch of expired keys, oldest first, and returns how many.';

create function public.cleanup_expired_idempotency_keys(p_batch_size integer default 1000) returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_started constant timestamptz := clock_timestamp();
  v_deleted bigint := 0;
  v_batch integer;
begin
  if (p_batch_size between 1 and 10000) is not true then
    raise exception 'cleaning up idempotency keys: the batch size must be 1 to 10000, not %', coalesce(p_batch_size::text, 'null')
      using errcode = '22023';
  end if;

  -- One call is one transaction: what it deleted stays locked to its end, and a claim that wants
  -- such a row waits. So a call stops after 100 batches or 5 seconds, below the 8 seconds API
  -- roles have; what is left waits for the next call.
  for v_round in 1..100 loop
    v_batch := idempotency.delete_expired(p_batch_size);
    v_deleted := v_deleted + v_batch;
    exit when v_batch < p_batch_size or clock_timestamp() > v_started + interval '5 seconds';
  end loop;

  delete from idempotency.replay_counts as c where c.hour < v_started - interval '8 days';

  return v_deleted;
end;
$$;

comment on function public.cleanup_expired_idempotency_keys(integer) is
  'Deletes expired keys, oldest first, and returns how many; a full last batch means there may be more.';

create function public.idempotency_upkeep() returns table (
  -- at most 100,000
  expired_count bigint,
  expired_is_more boolean,
  oldest_expired_at timestamptz,
  -- Postgres's own estimate, as of its last look; expired ones and all owners'
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
    coalesce(pg_sequence_last_value('idempotency.fence_seq'), 0) - r.counted_fence
  from idempotency.rollup as r
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
  -- null: it is not scheduled
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
    select
      n.name, j.schedule::text, coalesce(j.active, false),
      d.status::text, d.return_message::text, d.start_time, d.end_time
    from unnest(array['cleanup-expired-idempotency-keys', 'count-idempotency-statistics']) as n (name)
    left join cron.job as j on j.jobname = n.name
    left join lateral (
      select r.*
      from cron.job_run_details as r
      where r.jobid = j.jobid and r.runid > (select max(l.runid) - 20000 from cron.job_run_details as l)
      order by r.runid desc
      limit $1
    ) as d on true
    order by n.name, d.runid desc
  $runs$ using p_limit;
end;
$$;

comment on function public.idempotency_job_runs(integer) is
  'For operators: the last runs of the ledger''s jobs, newest first; one row without a run for a job that never ran or is not scheduled, none at all without pg_cron.';

revoke all on function idempotency.delete_expired(integer)
  from public, anon, authenticated, service_role;
revoke all on function public.cleanup_expired_idempotency_keys(integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_upkeep() from public, anon, authenticated, service_role;
revoke all on function public.idempotency_job_runs(integer) from public, anon, authenticated, service_role;
grant execute on function public.cleanup_expired_idempotency_keys(integer) to service_role;
grant execute on function public.idempotency_upkeep() to service_role;
grant execute on function public.idempotency_job_runs(integer) to service_role;

-- The jobs, where pg_cron is to be had. Anything that keeps it away (not installed, not preloaded,
-- another database, no right to create it) is no reason to go without the ledger.
--
-- Cleanup is a block of its own rather than a function: only so can it commit each batch, and go on
-- until nothing is left without holding what it deleted. A batch that is not full is the last one: where
-- keys expire all the time, there are always some more. It also forgets the ledger's own runs, which
-- pg_cron keeps for ever.
do $jobs$
begin
  if not exists (select from pg_catalog.pg_available_extensions where name = 'pg_cron') then
    raise notice 'pg_cron is not available: call cleanup_expired_idempotency_keys() from another scheduler; statistics are counted when somebody looks';
    return;
  end if;

  if not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    create extension pg_cron with schema pg_catalog;
    -- read by what takes the ledger out, which leaves the database as it was
    comment on schema idempotency is
      'What the ledger needs beside the functions and the table in public; not exposed by the Data API. pg_cron was created for it.';
  end if;

  perform cron.unschedule(j.jobid)
  from cron.job as j
  where j.jobname in ('cleanup-expired-idempotency-keys', 'count-idempotency-statistics');

  -- minute 7: on the hour is when everybody else's jobs start
  perform cron.schedule('cleanup-expired-idempotency-keys', '7 * * * *', $command$
    do $$
    begin
      -- what has expired since the other job ran: a count ends where the one before it began, or the one
      -- before that where somebody was writing
      for v_count in 1..3 loop
        begin
          perform public.idempotency_refresh_statistics(1000000);
        exception when others then
          raise warning 'counting before cleanup: %', sqlerrm;
        end;
        commit;
        perform pg_sleep(0.11);
      end loop;
      while idempotency.delete_expired(1000) >= 1000 loop
        commit;
      end loop;
      commit;
      delete from idempotency.replay_counts where hour < now() - interval '8 days';
      commit;
      -- by number: a run that was cut off, or never began, has no times
      delete from cron.job_run_details as r
      using cron.job as j
      where j.jobid = r.jobid
        and j.jobname in ('cleanup-expired-idempotency-keys', 'count-idempotency-statistics')
        and r.runid <= (
          select max(o.runid) from cron.job_run_details as o where o.start_time < now() - interval '7 days'
        );
    end;
    $$
  $command$);

  perform cron.schedule(
    'count-idempotency-statistics',
    '*/5 * * * *',
    $command$
    do $$
    begin
      perform public.idempotency_refresh_statistics(1000000);
      commit;
      perform idempotency.keep_statistics();
    end;
    $$
  $command$
  );
exception when others then
  raise notice 'pg_cron cannot be used (%): call cleanup_expired_idempotency_keys() from another scheduler; statistics are counted when somebody looks', sqlerrm;
end;
$jobs$;
