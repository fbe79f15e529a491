-- What operators look at, counted ahead by the hour: reading every key takes seconds at ten million.
-- idempotency_refresh_statistics fills these tables from outside the claim's path.
-- See docs/decisions/0010.

create table idempotency.rollup (
  -- one row
  id boolean primary key default true,
  -- claims up to this fence are in the tables below
  counted_fence bigint not null default 0,
  counted_at timestamptz not null default '-infinity',
  -- up to here no claim can become visible any more
  horizon_fence bigint not null default 0,
  horizon_at timestamptz not null default '-infinity',
  -- the next horizon, once every transaction older than the barrier has ended
  next_fence bigint,
  next_at timestamptz,
  barrier xid8,
  replays_at timestamptz not null default '-infinity',

  constraint there_is_one_row check (id),
  constraint counts_end_at_the_horizon check (counted_fence <= horizon_fence),
  constraint next_horizon_has_a_time check ((next_fence is null) = (next_at is null)),
  constraint only_a_next_horizon_has_a_barrier check (next_fence is not null or barrier is null)
);

insert into idempotency.rollup default values;

create trigger replace_only_row
  before insert on idempotency.rollup
  for each row
  execute function idempotency.replace_only_row();
alter table idempotency.rollup enable always trigger replace_only_row;

comment on table idempotency.rollup is
  'How far the statistics of operators have counted.';

create table idempotency.hours (
  hour timestamptz not null,
  scope text not null,
  executions bigint not null default 0,
  failures bigint not null default 0,
  replays bigint not null default 0,

  primary key (hour, scope)
) with (fillfactor = 70);

comment on table idempotency.hours is
  'Attempts by the hour of their claim, those that ended without an answer, and replays; kept for 8 days.';

create table idempotency.durations (
  hour timestamptz not null,
  scope text not null,
  -- logarithmic, 24 for each factor of ten: the middle of bucket n is 10 ^ ((n + 0.5) / 24) ms, and
  -- no duration in it is more than 5 % off
  bucket smallint not null,
  answers bigint not null,

  primary key (hour, scope, bucket)
) with (fillfactor = 70);

comment on table idempotency.durations is
  'How long attempts took that ended with an answer, by the hour of their claim; kept for 8 days.';

create table idempotency.live_keys (
  -- the hour in which they expire: whoever reads leaves out what has expired, no delete is counted
  expires_hour timestamptz not null,
  scope text not null,
  status text not null,
  keys bigint not null,

  primary key (expires_hour, scope, status),
  constraint status_is_an_end check (status in ('completed', 'failed'))
) with (fillfactor = 70);

comment on table idempotency.live_keys is
  'Completed and failed keys by the hour in which they expire.';

create table idempotency.open_keys (
  owner text not null,
  scope text not null,
  idempotency_key text not null,
  fence bigint not null,
  status text not null,
  attempt integer not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,

  primary key (owner, scope, idempotency_key),
  constraint status_is_no_answer check (status in ('processing', 'failed'))
);

-- the two ways in: who was at it when last looked, and failures that nobody will retry any more
create index open_keys_processing on idempotency.open_keys (fence) where status = 'processing';
create index open_keys_failed on idempotency.open_keys (expires_at) where status = 'failed';

comment on table idempotency.open_keys is
  'Keys that had no answer when they were counted, as they were then: what changes later is counted as the difference.';

revoke all on table
  idempotency.rollup, idempotency.hours, idempotency.durations,
  idempotency.live_keys, idempotency.open_keys
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on table
  idempotency.rollup, idempotency.hours, idempotency.durations,
  idempotency.live_keys, idempotency.open_keys
  to service_role;

alter table idempotency.rollup enable row level security;
alter table idempotency.hours enable row level security;
alter table idempotency.durations enable row level security;
alter table idempotency.live_keys enable row level security;
alter table idempotency.open_keys enable row level security;

create policy "operators see how far statistics have counted"
  on idempotency.rollup for select to service_role using (true);
create policy "operators see what happened by the hour"
  on idempotency.hours for select to service_role using (true);
create policy "operators see durations"
  on idempotency.durations for select to service_role using (true);
create policy "operators see how many keys live"
  on idempotency.live_keys for select to service_role using (true);
create policy "operators see which keys had no answer"
  on idempotency.open_keys for select to service_role using (true);

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
security definer
set search_path = ''
-- open_keys grows while this reads it: a scan of what was a page then reads all of it for each key
set enable_seqscan = off
-- which what such a scan then seems to cost would have run for a second
set jit = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_this_hour constant timestamptz := date_trunc('hour', v_now, 'UTC');
  v_kept_from constant timestamptz := v_this_hour - interval '8 days';
  v_state idempotency.rollup;
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

  v_latest := coalesce(pg_sequence_last_value('idempotency.fence_seq'), 0);

  -- Of several calls at once, one counts. The others do not wait for it.
  select * into v_state from idempotency.rollup for update skip locked;

  if not found then
    return query
    select nullif(r.counted_at, '-infinity'), 0::bigint, v_latest - r.counted_fence from idempotency.rollup as r;
    return;
  end if;

  v_self := pg_current_xact_id();

  -- a barrier from another server's numbering, out of a backup
  if v_state.barrier > v_self then
    v_state.next_fence := null;
    v_state.next_at := null;
    v_state.barrier := null;
  end if;

  -- the clock was put back since: until it gets there again nothing would be counted
  if v_state.next_at > v_now then
    v_state.next_at := v_now;
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
    select k.owner, k.scope, k.idempotency_key, k.fence, k.status, k.attempt, k.created_at, k.claimed_at, k.completed_at, k.expires_at
    from public.idempotency_keys as k
    where k.fence > v_state.counted_fence and k.fence <= v_state.horizon_fence
    order by k.fence
    limit p_most
  ),
  -- counted while they ran
  running as materialized (
    select
      o.ctid as place, o.owner, o.scope, o.idempotency_key, o.fence as old_fence,
      k.fence, k.status, k.attempt, k.created_at, k.claimed_at, k.completed_at, k.expires_at
    from idempotency.open_keys as o
    -- one look-up for each: to the planner of a table that was almost empty when it looked last,
    -- comparing each with each costs the same (offset 0 keeps it from choosing)
    left join lateral (
      select *
      from public.idempotency_keys as i
      where i.owner = o.owner and i.scope = o.scope and i.idempotency_key = o.idempotency_key
      offset 0
    ) as k on true
    where o.status = 'processing'
  ),
  observed as materialized (
    select * from batch
    union all
    -- ended since; another attempt has a fence of its own and is, or will be, in a batch
    select r.owner, r.scope, r.idempotency_key, r.fence, r.status, r.attempt, r.created_at, r.claimed_at, r.completed_at, r.expires_at
    from running as r
    where r.fence = r.old_fence and r.status <> 'processing'
  ),
  changed as materialized (
    select
      n.*,
      o.ctid as place,
      o.status as old_status,
      o.expires_at as old_expires_at,
      -- of an earlier generation nothing is left in the row's attempts
      case when o.created_at = n.created_at then o.attempt else 0 end as old_attempts,
      case when o.created_at = n.created_at then o.attempt - (o.status <> 'failed')::integer else 0 end as old_failures
    from observed as n
    -- one look-up for each, as above
    left join lateral (
      select i.ctid, i.*
      from idempotency.open_keys as i
      where i.owner = n.owner and i.scope = n.scope and i.idempotency_key = n.idempotency_key
      offset 0
    ) as o on true
  ),
  hours as (
    insert into idempotency.hours as h (hour, scope, executions, failures)
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
    insert into idempotency.durations as d (hour, scope, bucket, answers)
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
    insert into idempotency.live_keys as l (expires_hour, scope, status, keys)
    select e.expires_hour, e.scope, e.status, sum(e.keys)
    from (
      select date_trunc('hour', c.expires_at, 'UTC') as expires_hour, c.scope, c.status, 1 as keys
      from changed as c
      where c.status <> 'processing'
      union all
      -- a failed one that was retried
      select date_trunc('hour', c.old_expires_at, 'UTC'), c.scope, c.old_status, -1
      from changed as c
      where c.old_status = 'failed'
    ) as e
    where e.expires_hour >= v_this_hour
    group by 1, 2, 3
    having sum(e.keys) <> 0
    on conflict (expires_hour, scope, status) do update set keys = l.keys + excluded.keys
  ),
  gone as (
    -- by where they lie, which the lock on rollup keeps as it is
    delete from idempotency.open_keys as o
    where o.ctid = any (array(select r.place from running as r where r.fence is null))
  ),
  answered as (
    delete from idempotency.open_keys as o
    where o.ctid = any (array(
      select c.place from changed as c where c.status = 'completed' and c.place is not null
    ))
  ),
  unanswered as (
    insert into idempotency.open_keys as o (owner, scope, idempotency_key, fence, status, attempt, created_at, expires_at)
    select c.owner, c.scope, c.idempotency_key, c.fence, c.status, c.attempt, c.created_at, c.expires_at
    from changed as c
    where c.status <> 'completed'
    on conflict (owner, scope, idempotency_key) do update
    set
      fence = excluded.fence, status = excluded.status, attempt = excluded.attempt,
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

  insert into idempotency.hours as h (hour, scope, replays)
  select c.hour, c.scope, sum(c.replays)
  from idempotency.replay_counts as c
  where c.hour >= case
    -- the clock was put back since, nobody knows how far
    when v_state.replays_at > v_now then v_kept_from
    -- ten minutes: a count belongs to the hour in which its transaction began
    else greatest(v_kept_from, date_trunc('hour', v_state.replays_at - interval '10 minutes', 'UTC'))
  end
  group by c.hour, c.scope
  on conflict (hour, scope) do update set replays = excluded.replays
  where h.replays <> excluded.replays;

  -- a retry of it came before it expired, and may not be counted yet
  delete from idempotency.open_keys as o
  where o.status = 'failed' and o.expires_at < least(v_this_hour, v_state.counted_at);
  delete from idempotency.live_keys as l where l.expires_hour < v_this_hour;
  delete from idempotency.hours as h where h.hour < v_kept_from;
  delete from idempotency.durations as d where d.hour < v_kept_from;

  update idempotency.rollup as r
  set
    counted_fence = v_state.counted_fence,
    counted_at = v_state.counted_at,
    horizon_fence = v_state.horizon_fence,
    horizon_at = v_state.horizon_at,
    next_fence = v_state.next_fence,
    next_at = v_state.next_at,
    barrier = v_state.barrier,
    replays_at = v_now
  -- a session of the Data API refuses to change all rows of a table, also where there is one
  where r.id;

  return query select nullif(v_state.counted_at, '-infinity'), v_counted, v_latest - v_state.counted_fence;
end;
$$;

comment on function public.idempotency_refresh_statistics(integer) is
  'For operators: counts the claims since the last call, at most so many; says up to when, and how many are left.';

create function public.idempotency_recount_statistics() returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update idempotency.rollup as r
  set counted_fence = 0, counted_at = '-infinity', replays_at = '-infinity'
  where r.id;
  delete from idempotency.open_keys where true;
  delete from idempotency.live_keys where true;
  delete from idempotency.durations where true;
  delete from idempotency.hours where true;
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

-- Keys that are processing now, exactly, without reading the others: those that were when they were
-- counted, and what was claimed since. An index on the state or the lease would find them as well,
-- and cost each completion its heap-only update; see docs/decisions/0010.

create function idempotency.held_keys() returns setof public.idempotency_keys
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- as seen by the same snapshot as the keys; without its row everything is looked at
  v_counted constant bigint := coalesce((select r.counted_fence from idempotency.rollup as r), 0);
begin
  return query
  select k.*
  from idempotency.open_keys as o
  -- one look-up for each, as above
  cross join lateral (
    select * from public.idempotency_keys as i where i.fence = o.fence offset 0
  ) as k
  where o.status = 'processing' and k.status = 'processing' and k.fence <= v_counted
  union all
  select k.*
  from public.idempotency_keys as k
  where k.fence > v_counted and k.status = 'processing';
end;
$$;

comment on function idempotency.held_keys() is
  'Every key that is processing, with a live lease or a lapsed one.';

revoke all on function idempotency.held_keys() from public, anon, authenticated, service_role;
grant execute on function idempotency.held_keys() to service_role;

-- Who is at work, how much is kept, and how the last hours went: a row a scope, and one for all.

create function public.idempotency_scope_statistics(
  p_hours integer default 24,
  p_limit integer default 50,
  -- one that comes first, however busy others are
  p_scope text default null
) returns table (
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
    select k.scope, k.lease_expires_at from idempotency.held_keys() as k
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
    from idempotency.live_keys as l
    where l.expires_hour >= v_this_hour
    group by l.scope, l.status
    union all
    select h.scope, e.name, sum(e.number)::bigint
    from idempotency.hours as h
    cross join lateral (
      values ('executions', h.executions), ('failures', h.failures), ('replays', h.replays)
    ) as e (name, number)
    where h.hour >= v_from
    group by h.scope, e.name
  ),
  buckets_of_scopes as (
    select d.scope, d.bucket, sum(d.answers) as answers
    from idempotency.durations as d
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
  -- the sum first, then the one that was named, then the busiest
  order by s.scope is not null, s.scope is distinct from p_scope, s.executions + s.replays desc, s.processing + s.completed + s.failed desc, s.scope
  limit p_limit + 1;
end;
$$;

comment on function public.idempotency_scope_statistics(integer, integer, text) is
  'For operators: all scopes together, the one that is named and the busiest ones, live keys by status, and executions, failures, replays and durations of the last hours. Processing and stuck ones are exact, the rest is as of the last refresh.';

create function public.idempotency_hourly_statistics(p_hours integer default 48, p_scope text default null)
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
  left join idempotency.hours as h
    on h.hour = t.hour and h.hour >= v_from and (p_scope is null or h.scope = p_scope)
  group by t.hour
  order by t.hour;
end;
$$;

comment on function public.idempotency_hourly_statistics(integer, text) is
  'For operators: executions, failures and replays of the last hours, in all scopes or in one, oldest first, as of the last refresh.';

revoke all on function public.idempotency_scope_statistics(integer, integer, text)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_hourly_statistics(integer, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_scope_statistics(integer, integer, text) to service_role;
grant execute on function public.idempotency_hourly_statistics(integer, text) to service_role;
