-- Replays write nothing on the claim's path. Edge functions count them in memory and hand the
-- sums over about once a second, so a hot key costs one small update a second, not one a replay.

create table idempotency.replay_counts (
  owner text not null,
  user_id uuid references auth.users (id) on delete cascade,
  scope text not null,
  hour timestamptz not null,
  replays bigint not null,

  primary key (owner, scope, hour),

  constraint scope_is_1_to_200_characters
    check (length(scope) between 1 and 200),
  constraint replays_are_positive
    check (replays > 0)
) with (fillfactor = 70);

comment on table idempotency.replay_counts is
  'Replays per owner, scope and hour, kept for 8 days.';

revoke all on table idempotency.replay_counts from public, anon, authenticated, service_role;
grant select on table idempotency.replay_counts to authenticated;
grant select, insert, update, delete on table idempotency.replay_counts to service_role;
alter table idempotency.replay_counts enable row level security;

create policy "users see only their own replay counts"
  on idempotency.replay_counts
  for select
  to authenticated
  using (owner = (select idempotency.signed_in_owner()));

create policy "operators see every replay count"
  on idempotency.replay_counts for select to service_role using (true);

-- deleting an account looks for its counts
create index replay_counts_user_id on idempotency.replay_counts (user_id);

-- the sums of an hour over all owners; counting a replay again leaves hour as it is, hence HOT
create index replay_counts_hour on idempotency.replay_counts (hour);

create function public.idempotency_count_replays(p_owner text, p_scope text, p_count integer) returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if (p_count between 1 and 100000) is not true then
    raise exception 'counting replays: the count must be 1 to 100000, not %', coalesce(p_count::text, 'null')
      using errcode = '22023';
  end if;

  -- only scopes the owner has a key in: what was replayed came from one
  insert into idempotency.replay_counts as c (owner, user_id, scope, hour, replays)
  select k.owner, k.user_id, k.scope, date_trunc('hour', now(), 'UTC'), p_count
  from public.idempotency_keys as k
  where k.owner = p_owner and k.scope = p_scope
  limit 1
  on conflict (owner, scope, hour) do update set replays = c.replays + excluded.replays;
end;
$$;

comment on function public.idempotency_count_replays(text, text, integer) is
  'Adds replays to this hour''s count of a scope in which the owner has a key; any other scope is left out.';

revoke all on function public.idempotency_count_replays(text, text, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_count_replays(text, text, integer) to service_role;

-- Counting all keys of a large ledger takes seconds: for whoever sees all of them it is done ahead.
create table idempotency.kept_statistics (
  scope text primary key,
  total_count bigint not null,
  processing_count bigint not null,
  completed_count bigint not null,
  failed_count bigint not null,
  refused_count bigint not null,
  stuck_count bigint not null,
  expired_count bigint not null,
  replay_count bigint not null,
  replay_rate double precision,
  oldest_processing_seconds double precision,
  duration_p50_ms double precision,
  duration_p95_ms double precision,
  as_of timestamptz not null
);

comment on table idempotency.kept_statistics is
  'The statistics of a large ledger as they were counted last; empty in a small one.';

revoke all on table idempotency.kept_statistics from public, anon, authenticated, service_role;
-- the view reads it as its reader; a user sees no row of it
grant select on table idempotency.kept_statistics to authenticated;
grant select, insert, update, delete on table idempotency.kept_statistics to service_role;
alter table idempotency.kept_statistics enable row level security;

create policy "operators see statistics that were counted ahead"
  on idempotency.kept_statistics for select to service_role using (true);

-- security invoker: the reader's row level security decides what is counted.
create function idempotency.count_statistics() returns setof idempotency.kept_statistics
language plpgsql
stable
security invoker
rows 20
set search_path = ''
-- compiling a query that may count millions takes a quarter of a second: more than it saves, and in
-- the view itself also where they were counted ahead
set jit = off
as $$
begin
  return query
  select
    s.scope::text,
    s.total_count,
    s.processing_count,
    s.completed_count,
    s.failed_count,
    s.refused_count,
    s.stuck_count,
    s.expired_count,
    r.replay_count,
    r.replay_count::double precision / nullif(r.replay_count + s.execution_count, 0) as replay_rate,
    s.oldest_processing_seconds,
    s.duration_p50_ms,
    s.duration_p95_ms,
    now()
  from (
    select
      k.scope,
      count(*) as total_count,
      count(*) filter (where k.status = 'processing') as processing_count,
      count(*) filter (where k.status = 'completed') as completed_count,
      -- A refusal is an answer, final or not: the request was wrong, nothing broke.
      count(*) filter (where k.status = 'failed' and (k.status_code between 400 and 499) is not true) as failed_count,
      count(*) filter (where k.status_code between 400 and 499) as refused_count,
      count(*) filter (where k.lease_expires_at <= now()) as stuck_count,
      count(*) filter (where k.expires_at <= now()) as expired_count,
      sum(k.attempt) as execution_count,
      min(k.created_at) as oldest_created_at,
      -- no time is below 0, where the clock was put back in between
      extract(epoch from now() - min(least(k.claimed_at, now())) filter (where k.status = 'processing'))::double precision
        as oldest_processing_seconds,
      percentile_cont(0.5) within group (order by greatest(extract(epoch from k.completed_at - k.claimed_at) * 1000, 0))
        filter (where k.status = 'completed') as duration_p50_ms,
      percentile_cont(0.95) within group (order by greatest(extract(epoch from k.completed_at - k.claimed_at) * 1000, 0))
        filter (where k.status = 'completed') as duration_p95_ms
    from public.idempotency_keys as k
    group by k.scope
  ) as s
  cross join lateral (
    -- as far back as the keys go: replays of executions that cleanup removed would inflate the rate
    select coalesce(sum(c.replays), 0)::bigint as replay_count
    from idempotency.replay_counts as c
    where c.scope = s.scope and c.hour >= date_trunc('hour', s.oldest_created_at, 'UTC')
  ) as r;
end;
$$;

comment on function idempotency.count_statistics() is
  'What v_idempotency_stats shows, counted now over the keys that the caller may see.';

revoke all on function idempotency.count_statistics() from public, anon, authenticated, service_role;
grant execute on function idempotency.count_statistics() to authenticated, service_role;

create function idempotency.keep_statistics(p_from_keys bigint default 50000) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_keys constant double precision := (
    select c.reltuples from pg_catalog.pg_class as c where c.oid = 'public.idempotency_keys'::regclass
  );
begin
  -- Ten million take about ten seconds. Counted every thousand they are a hundredth of one processor;
  -- other numbers of keys cost in proportion.
  if v_keys >= p_from_keys and exists (
    select from idempotency.kept_statistics as k
    where k.as_of between now() - least(v_keys * interval '0.1 milliseconds', interval '6 hours') and now()
  ) then
    return;
  end if;

  delete from idempotency.kept_statistics where true;

  if v_keys >= p_from_keys then
    insert into idempotency.kept_statistics select * from idempotency.count_statistics();
  end if;
end;
$$;

comment on function idempotency.keep_statistics(bigint) is
  'Counts a ledger of at least so many keys ahead, unless that was done a short while ago.';

revoke all on function idempotency.keep_statistics(bigint) from public, anon, authenticated, service_role;

create view public.v_idempotency_stats with (security_invoker = true) as
select *
from idempotency.kept_statistics as k
-- others are left behind by a schedule that is no more, or by a clock that was ahead
where k.as_of between now() - interval '1 day' and now()
union all
select *
from idempotency.count_statistics()
where not exists (
  select from idempotency.kept_statistics as k
  where k.as_of between now() - interval '1 day' and now()
);

comment on view public.v_idempotency_stats is
  'One row per scope, over the keys the reader may see: counts by status, refusals (answers of 400 to 499), replays, ages and durations, as of when. Exact for users and in a small ledger; counted ahead for operators of a large one.';

revoke all on table public.v_idempotency_stats from public, anon, authenticated, service_role;
grant select on table public.v_idempotency_stats to authenticated, service_role;
