-- What operators look at, counted ahead: v_idempotency_stats reads every key, which at ten million
-- takes seconds. idempotency_refresh_statistics fills these tables from outside the claim's path.
-- See docs/decisions/0010.

-- The order of grants: each granted claim, a first one or another attempt, has a fence above all
-- earlier ones, so what has happened since a look is what lies above a fence. No update but a new
-- grant sets this column, and that is none of the heap-only updates: completing, failing and
-- renewing stay what they are.
create index idempotency_keys_fence on public.idempotency_keys (fence);

-- the sums of an hour over all users; counting a replay again leaves hour as it is, hence HOT
create index idempotency_replay_counts_hour on public.idempotency_replay_counts (hour);

create table public.idempotency_rollup (
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

insert into public.idempotency_rollup default values;

comment on table public.idempotency_rollup is
  'How far the statistics of operators have counted.';

create table public.idempotency_hours (
  hour timestamptz not null,
  scope text not null,
  executions bigint not null default 0,
  failures bigint not null default 0,
  replays bigint not null default 0,

  primary key (hour, scope)
) with (fillfactor = 70);

comment on table public.idempotency_hours is
  'Attempts by the hour of their claim, those that ended without an answer, and replays; kept for 8 days.';

create table public.idempotency_durations (
  hour timestamptz not null,
  scope text not null,
  -- logarithmic, 24 for each factor of ten: the middle of bucket n is 10 ^ ((n + 0.5) / 24) ms, and
  -- no duration in it is more than 5 % off
  bucket smallint not null,
  answers bigint not null,

  primary key (hour, scope, bucket)
) with (fillfactor = 70);

comment on table public.idempotency_durations is
  'How long attempts took that ended with an answer, by the hour of their claim; kept for 8 days.';

create table public.idempotency_live_keys (
  -- the hour in which they expire: whoever reads leaves out what has expired, no delete is counted
  expires_hour timestamptz not null,
  scope text not null,
  status text not null,
  keys bigint not null,

  primary key (expires_hour, scope, status),
  constraint status_is_an_end check (status in ('completed', 'failed'))
) with (fillfactor = 70);

comment on table public.idempotency_live_keys is
  'Completed and failed keys by the hour in which they expire.';

create table public.idempotency_open_keys (
  id bigint primary key,
  fence bigint not null,
  scope text not null,
  status text not null,
  attempt integer not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,

  constraint status_is_no_answer check (status in ('processing', 'failed'))
);

-- the two ways in: who was at it when last looked, and failures that nobody will retry any more
create index idempotency_open_keys_processing on public.idempotency_open_keys (id)
  where status = 'processing';
create index idempotency_open_keys_failed on public.idempotency_open_keys (expires_at)
  where status = 'failed';

comment on table public.idempotency_open_keys is
  'Keys that had no answer when they were counted, as they were then: what changes later is counted as the difference.';

revoke all on table
  public.idempotency_rollup, public.idempotency_hours, public.idempotency_durations,
  public.idempotency_live_keys, public.idempotency_open_keys
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on table
  public.idempotency_rollup, public.idempotency_hours, public.idempotency_durations,
  public.idempotency_live_keys, public.idempotency_open_keys
  to service_role;

alter table public.idempotency_rollup enable row level security;
alter table public.idempotency_hours enable row level security;
alter table public.idempotency_durations enable row level security;
alter table public.idempotency_live_keys enable row level security;
alter table public.idempotency_open_keys enable row level security;

create policy "operators see how far statistics have counted"
  on public.idempotency_rollup for select to service_role using (true);
create policy "operators see what happened by the hour"
  on public.idempotency_hours for select to service_role using (true);
create policy "operators see durations"
  on public.idempotency_durations for select to service_role using (true);
create policy "operators see how many keys live"
  on public.idempotency_live_keys for select to service_role using (true);
create policy "operators see which keys had no answer"
  on public.idempotency_open_keys for select to service_role using (true);
