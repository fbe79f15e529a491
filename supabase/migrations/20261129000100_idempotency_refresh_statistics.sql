-- Counting what has happened since the last look, in the order of fences.
--
-- A fence is taken before its claim can be seen, so the newest visible fence is no safe end: a claim
-- in a long transaction would appear below it later and be left out for good. The horizon is: the
-- sequence as the call before left it, once every transaction that was running then has ended.

create function public.idempotency_refresh_statistics(p_most integer default 50000)
returns table (
  -- claims granted before are counted, as they stood at the call; null: none is
  as_of timestamptz,
  counted bigint,
  -- at most this many claims are not counted yet
  behind bigint
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_this_hour constant timestamptz := date_trunc('hour', v_now, 'UTC');
  v_kept_from constant timestamptz := v_this_hour - interval '8 days';
  v_state public.idempotency_rollup;
  v_self xid8;
  v_snapshot pg_snapshot;
  v_latest bigint;
  v_counted bigint := 0;
  v_last_fence bigint;
  v_last_at timestamptz;
begin
  if (p_most between 1 and 1000000) is not true then
    raise exception 'refreshing idempotency statistics: at most 1 to 1000000 claims can be counted in one call, not %', coalesce(p_most::text, 'null')
      using errcode = '22023';
  end if;

  v_latest := coalesce(pg_sequence_last_value('public.idempotency_fence_seq'), 0);

  -- Of several calls at once, one counts. The others do not wait for it.
  select * into v_state from public.idempotency_rollup for update skip locked;

  if not found then
    return query
    select nullif(r.counted_at, '-infinity'), 0::bigint, v_latest - r.counted_fence from public.idempotency_rollup as r;
    return;
  end if;

  v_self := pg_current_xact_id();

  -- a barrier from another server's numbering, out of a backup
  if v_state.barrier > v_self then
    v_state.next_fence := null;
    v_state.next_at := null;
    v_state.barrier := null;
  end if;

  -- Whoever took a fence up to next_fence has by now a transaction id, below this one: the tenth of
  -- a second is for the instructions between the two.
  if v_state.barrier is null and v_state.next_at < v_now - interval '100 milliseconds' then
    v_state.barrier := v_self;
  end if;

  -- after the line that assigned the barrier's id, so that all older ones are ended or in it
  v_snapshot := pg_current_snapshot();

  if pg_snapshot_xmax(v_snapshot) >= v_state.barrier
    and not exists (select from pg_snapshot_xip(v_snapshot) as x where x < v_state.barrier)
  then
    v_state.horizon_fence := greatest(v_state.horizon_fence, v_state.next_fence);
    v_state.horizon_at := v_state.next_at;
    v_state.next_fence := null;
    v_state.barrier := null;
  end if;

  if v_state.next_fence is null then
    v_state.next_fence := v_latest;
    v_state.next_at := v_now;
  end if;

  with batch as materialized (
    select k.id, k.fence, k.scope, k.status, k.attempt, k.created_at, k.claimed_at, k.completed_at, k.expires_at
    from public.idempotency_keys as k
    where k.fence > v_state.counted_fence and k.fence <= v_state.horizon_fence
    order by k.fence
    limit p_most
  ),
  -- counted while they ran
  running as materialized (
    select
      o.id as old_id, o.fence as old_fence,
      k.id, k.fence, k.scope, k.status, k.attempt, k.created_at, k.claimed_at, k.completed_at, k.expires_at
    from public.idempotency_open_keys as o
    left join public.idempotency_keys as k on k.id = o.id
    where o.status = 'processing'
  ),
  observed as materialized (
    select * from batch
    union all
    -- ended since; another attempt has a fence of its own and is, or will be, in a batch
    select r.id, r.fence, r.scope, r.status, r.attempt, r.created_at, r.claimed_at, r.completed_at, r.expires_at
    from running as r
    where r.fence = r.old_fence and r.status <> 'processing'
  ),
  changed as materialized (
    select
      n.*,
      o.status as old_status,
      o.scope as old_scope,
      o.expires_at as old_expires_at,
      -- of an earlier generation nothing is left in the row's attempts
      case when o.created_at = n.created_at then o.attempt else 0 end as old_attempts,
      case when o.created_at = n.created_at then o.attempt - (o.status <> 'failed')::integer else 0 end as old_failures
    from observed as n
    left join public.idempotency_open_keys as o on o.id = n.id
  ),
  hours as (
    insert into public.idempotency_hours as h (hour, scope, executions, failures)
    select
      date_trunc('hour', c.claimed_at, 'UTC'), c.scope, sum(c.attempt - c.old_attempts),
      sum(c.attempt - (c.status <> 'failed')::integer - c.old_failures)
    from changed as c
    where c.claimed_at >= v_kept_from
    group by 1, 2
    on conflict (hour, scope) do update
    set executions = h.executions + excluded.executions, failures = h.failures + excluded.failures
  ),
  durations as (
    insert into public.idempotency_durations as d (hour, scope, bucket, answers)
    select
      date_trunc('hour', c.claimed_at, 'UTC'), c.scope,
      floor(24 * log(least(greatest(
        extract(epoch from c.completed_at - c.claimed_at)::double precision * 1000, 0.1), 1e10))),
      count(*)
    from changed as c
    where c.status = 'completed' and c.claimed_at >= v_kept_from
    group by 1, 2, 3
    on conflict (hour, scope, bucket) do update set answers = d.answers + excluded.answers
  ),
  live as (
    insert into public.idempotency_live_keys as l (expires_hour, scope, status, keys)
    select e.expires_hour, e.scope, e.status, sum(e.keys)
    from (
      select date_trunc('hour', c.expires_at, 'UTC') as expires_hour, c.scope, c.status, 1 as keys
      from changed as c
      where c.status <> 'processing'
      union all
      -- a failed one that was retried
      select date_trunc('hour', c.old_expires_at, 'UTC'), c.old_scope, c.old_status, -1
      from changed as c
      where c.old_status = 'failed'
    ) as e
    where e.expires_hour >= v_this_hour
    group by 1, 2, 3
    having sum(e.keys) <> 0
    on conflict (expires_hour, scope, status) do update set keys = l.keys + excluded.keys
  ),
  gone as (
    delete from public.idempotency_open_keys as o
    using running as r
    where o.id = r.old_id and r.id is null
  ),
  answered as (
    delete from public.idempotency_open_keys as o
    using changed as c
    where o.id = c.id and c.status = 'completed'
  ),
  unanswered as (
    insert into public.idempotency_open_keys as o (id, fence, scope, status, attempt, created_at, expires_at)
    select c.id, c.fence, c.scope, c.status, c.attempt, c.created_at, c.expires_at
    from changed as c
    where c.status <> 'completed'
    on conflict (id) do update
    set
      fence = excluded.fence, scope = excluded.scope, status = excluded.status, attempt = excluded.attempt,
      created_at = excluded.created_at, expires_at = excluded.expires_at
  )
  select count(*), max(b.fence), max(b.claimed_at) into v_counted, v_last_fence, v_last_at from batch as b;

  -- fewer than asked for: there is no further one below the horizon
  if v_counted < p_most then
    v_state.counted_fence := v_state.horizon_fence;
    v_state.counted_at := v_state.horizon_at;
  else
    v_state.counted_fence := v_last_fence;
    v_state.counted_at := v_last_at;
  end if;

  insert into public.idempotency_hours as h (hour, scope, replays)
  select c.hour, c.scope, sum(c.replays)
  from public.idempotency_replay_counts as c
  -- ten minutes: a count belongs to the hour in which its transaction began
  where c.hour >= greatest(v_kept_from, date_trunc('hour', v_state.replays_at - interval '10 minutes', 'UTC'))
  group by c.hour, c.scope
  on conflict (hour, scope) do update set replays = excluded.replays
  where h.replays <> excluded.replays;

  delete from public.idempotency_open_keys as o where o.status = 'failed' and o.expires_at < v_this_hour;
  delete from public.idempotency_live_keys as l where l.expires_hour < v_this_hour;
  delete from public.idempotency_hours as h where h.hour < v_kept_from;
  delete from public.idempotency_durations as d where d.hour < v_kept_from;

  update public.idempotency_rollup as r
  set
    counted_fence = v_state.counted_fence,
    counted_at = v_state.counted_at,
    horizon_fence = v_state.horizon_fence,
    horizon_at = v_state.horizon_at,
    next_fence = v_state.next_fence,
    next_at = v_state.next_at,
    barrier = v_state.barrier,
    replays_at = v_now;

  return query select nullif(v_state.counted_at, '-infinity'), v_counted, v_latest - v_state.counted_fence;
end;
$$;

comment on function public.idempotency_refresh_statistics(integer) is
  'For operators: counts the claims since the last call, at most so many; says up to when, and how many are left.';

create function public.idempotency_recount_statistics() returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  update public.idempotency_rollup as r
  set counted_fence = 0, counted_at = '-infinity', replays_at = '-infinity';
  delete from public.idempotency_open_keys;
  delete from public.idempotency_live_keys;
  delete from public.idempotency_durations;
  delete from public.idempotency_hours;
end;
$$;

comment on function public.idempotency_recount_statistics() is
  'For operators: forgets what was counted, so that the next refreshes count the keys that are there.';

revoke all on function public.idempotency_refresh_statistics(integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_recount_statistics()
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_refresh_statistics(integer) to service_role;
grant execute on function public.idempotency_recount_statistics() to service_role;
