-- Who is at work, how much is kept, and how the last hours went: a row a scope, and one for all.

create function public.idempotency_scope_statistics(p_hours integer default 24, p_limit integer default 50)
returns table (
  -- null: all scopes together
  scope text,
  processing_count bigint,
  stuck_count bigint,
  completed_count bigint,
  failed_count bigint,
  execution_count bigint,
  failure_count bigint,
  replay_count bigint,
  replay_rate double precision,
  duration_p50_ms double precision,
  duration_p95_ms double precision
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_this_hour constant timestamptz := date_trunc('hour', v_now, 'UTC');
  v_from constant timestamptz := v_this_hour - make_interval(hours => p_hours - 1);
begin
  if (p_hours between 1 and 192 and p_limit between 1 and 1000) is not true then
    raise exception 'reading idempotency statistics: there are 1 to 192 hours and 1 to 1000 scopes, not % and %', coalesce(p_hours::text, 'null'), coalesce(p_limit::text, 'null')
      using errcode = '22023';
  end if;

  return query
  with held as materialized (
    select k.scope, k.lease_expires_at from public.idempotency_held_keys() as k
  ),
  counts as (
    select k.scope, 'processing' as name, count(*) as number
    from held as k
    group by k.scope
    union all
    select k.scope, 'stuck', count(*)
    from held as k
    where k.lease_expires_at <= v_now
    group by k.scope
    union all
    -- of those that expire in this hour, the share that has not yet
    select
      l.scope, l.status,
      round(sum(case
        when l.expires_hour > v_this_hour then l.keys
        when l.expires_hour = v_this_hour
          then l.keys * extract(epoch from v_this_hour + interval '1 hour' - v_now) / 3600
      end))::bigint
    from public.idempotency_live_keys as l
    where l.expires_hour >= v_this_hour
    group by l.scope, l.status
    union all
    select h.scope, e.name, sum(e.number)::bigint
    from public.idempotency_hours as h
    cross join lateral (
      values ('executions', h.executions), ('failures', h.failures), ('replays', h.replays)
    ) as e (name, number)
    where h.hour >= v_from
    group by h.scope, e.name
  ),
  buckets_of_scopes as (
    select d.scope, d.bucket, sum(d.answers) as answers
    from public.idempotency_durations as d
    where d.hour >= v_from
    group by d.scope, d.bucket
  ),
  buckets as (
    select b.scope, b.bucket, b.answers from buckets_of_scopes as b
    union all
    select null, b.bucket, sum(b.answers) from buckets_of_scopes as b group by b.bucket
  ),
  ranks as (
    select
      b.scope, b.bucket,
      sum(b.answers) over (partition by b.scope order by b.bucket) as up_to,
      sum(b.answers) over (partition by b.scope) as total
    from buckets as b
  ),
  durations as (
    select
      r.scope,
      10 ^ ((min(r.bucket) filter (where r.up_to >= 0.5 * r.total) + 0.5) / 24) as p50,
      10 ^ ((min(r.bucket) filter (where r.up_to >= 0.95 * r.total) + 0.5) / 24) as p95
    from ranks as r
    group by r.scope
  ),
  scopes as (
    select
      c.scope,
      coalesce(sum(c.number) filter (where c.name = 'processing'), 0)::bigint as processing,
      coalesce(sum(c.number) filter (where c.name = 'stuck'), 0)::bigint as stuck,
      coalesce(sum(c.number) filter (where c.name = 'completed'), 0)::bigint as completed,
      coalesce(sum(c.number) filter (where c.name = 'failed'), 0)::bigint as failed,
      coalesce(sum(c.number) filter (where c.name = 'executions'), 0)::bigint as executions,
      coalesce(sum(c.number) filter (where c.name = 'failures'), 0)::bigint as failures,
      coalesce(sum(c.number) filter (where c.name = 'replays'), 0)::bigint as replays
    from counts as c
    group by grouping sets ((c.scope), ())
  )
  select
    s.scope, s.processing, s.stuck, s.completed, s.failed, s.executions, s.failures, s.replays,
    s.replays::double precision / nullif(s.replays + s.executions, 0),
    d.p50::double precision, d.p95::double precision
  from scopes as s
  left join durations as d on d.scope is not distinct from s.scope
  -- the sum first, then the busiest
  order by s.scope is not null, s.executions + s.replays desc, s.processing + s.completed + s.failed desc, s.scope
  limit p_limit + 1;
end;
$$;

comment on function public.idempotency_scope_statistics(integer, integer) is
  'For operators: all scopes together and the busiest ones, live keys by status, and executions, failures, replays and durations of the last hours. Processing and stuck ones are exact, the rest is as of the last refresh.';

create function public.idempotency_hourly_statistics(p_hours integer default 48)
returns table (hour timestamptz, executions bigint, failures bigint, replays bigint)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_this_hour constant timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
  v_from constant timestamptz := v_this_hour - make_interval(hours => p_hours - 1);
begin
  if (p_hours between 1 and 192) is not true then
    raise exception 'reading idempotency statistics: there are 1 to 192 hours, not %', coalesce(p_hours::text, 'null')
      using errcode = '22023';
  end if;

  return query
  select
    t.hour,
    coalesce(sum(h.executions), 0)::bigint,
    coalesce(sum(h.failures), 0)::bigint,
    coalesce(sum(h.replays), 0)::bigint
  from generate_series(v_from, v_this_hour, interval '1 hour') as t (hour)
  left join public.idempotency_hours as h on h.hour = t.hour and h.hour >= v_from
  group by t.hour
  order by t.hour;
end;
$$;

comment on function public.idempotency_hourly_statistics(integer) is
  'For operators: executions, failures and replays of the last hours, oldest first, as of the last refresh.';

revoke all on function public.idempotency_scope_statistics(integer, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_hourly_statistics(integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_scope_statistics(integer, integer) to service_role;
grant execute on function public.idempotency_hourly_statistics(integer) to service_role;
