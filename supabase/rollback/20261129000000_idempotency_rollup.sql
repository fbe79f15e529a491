-- Undoes 20261129000000_idempotency_rollup.sql and the other versions of that day: the statistics of
-- operators. The list of stuck keys reads the whole table again, as it did before.
--
-- migrate: undoes 20261129000000 to 20261129000500

do $$
begin
  if to_regclass('cron.job') is not null then
    perform cron.unschedule(j.jobid)
    from cron.job as j
    where j.jobname = 'count-idempotency-statistics';
  end if;
end;
$$;

create or replace function public.idempotency_stuck_keys(p_limit integer default 100) returns table (
  user_id uuid,
  scope text,
  idempotency_key text,
  attempt integer,
  claimed_at timestamptz,
  lease_expires_at timestamptz,
  expires_at timestamptz,
  metadata jsonb,
  steps jsonb
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if (p_limit between 1 and 1000) is not true then
    raise exception 'listing stuck idempotency keys: the limit must be 1 to 1000, not %', coalesce(p_limit::text, 'null')
      using errcode = '22023';
  end if;

  return query
  select
    k.user_id, k.scope, k.idempotency_key, k.attempt, k.claimed_at, k.lease_expires_at,
    k.expires_at, k.metadata, k.steps
  from public.idempotency_keys as k
  where k.status = 'processing' and k.lease_expires_at <= clock_timestamp()
  order by k.lease_expires_at, k.id
  limit p_limit;
end;
$$;

drop function if exists public.idempotency_job_runs(integer);
drop function if exists public.idempotency_upkeep();
drop function if exists public.idempotency_hourly_statistics(integer);
drop function if exists public.idempotency_scope_statistics(integer, integer);
drop function if exists public.idempotency_held_keys();
drop function if exists public.idempotency_recount_statistics();
drop function if exists public.idempotency_refresh_statistics(integer);
drop table if exists public.idempotency_open_keys;
drop table if exists public.idempotency_live_keys;
drop table if exists public.idempotency_durations;
drop table if exists public.idempotency_hours;
drop table if exists public.idempotency_rollup;
drop index if exists public.idempotency_replay_counts_hour;
drop index if exists public.idempotency_keys_fence;
