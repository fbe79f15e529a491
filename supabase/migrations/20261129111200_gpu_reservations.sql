-- GPU hours out of a common pool, reserved in the same transaction as the idempotency key.
--
-- Taking hours is not a right of its own: a signed-in user may insert a reservation, and the
-- trigger on it takes the hours, whoever inserts and by whatever route. A function that took hours
-- for a caller could be called without a reservation, since the API offers every function in public.

create table public.gpu_pools (
  id uuid not null default gen_random_uuid(),
  name text not null,
  hours_free integer not null,
  constraint gpu_pools_pkey primary key (id),
  constraint gpu_pools_name_key unique (name),
  constraint gpu_pools_name_has_1_to_100_characters check (char_length(name) between 1 and 100),
  constraint gpu_pools_hours_free_is_not_negative check (hours_free >= 0)
);

comment on table public.gpu_pools is 'Machines whose hours users share; filled by the service role.';

create table public.gpu_reservations (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  pool_id uuid not null references public.gpu_pools (id),
  hours integer not null,
  created_at timestamptz not null default now(),
  constraint gpu_reservations_pkey primary key (id),
  constraint gpu_reservations_hours_are_1_to_10000 check (hours between 1 and 10000)
);

comment on table public.gpu_reservations is
  'Hours that a user has taken from a pool; deleted, with the account or by the service role, it gives them back.';

create index gpu_reservations_user_id_idx on public.gpu_reservations (user_id);
create index gpu_reservations_pool_id_idx on public.gpu_reservations (pool_id);

alter table public.gpu_pools enable row level security;
alter table public.gpu_reservations enable row level security;

create policy gpu_pools_select_all on public.gpu_pools
  for select to authenticated using (true);

create policy gpu_reservations_select_own on public.gpu_reservations
  for select to authenticated using ((select auth.uid()) = user_id);
create policy gpu_reservations_insert_own on public.gpu_reservations
  for insert to authenticated with check ((select auth.uid()) = user_id);

revoke all on public.gpu_pools, public.gpu_reservations from public, anon, authenticated, service_role;
grant select on public.gpu_pools to authenticated;
grant select, insert (pool_id, hours) on public.gpu_reservations to authenticated;
grant select, insert, update, delete on public.gpu_pools to service_role;
-- Not update: other hours are another reservation.
grant select, insert, delete on public.gpu_reservations to service_role;

create function public.gpu_reservations_move_hours() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- In the order of ids: two who take from the same pools at once, or whose accounts end, wait for each
  -- other and never deadlock.
  perform from public.gpu_pools as p
  where p.id in (select c.pool_id from changed as c)
  order by p.id
  for no key update;

  -- No look before: the constraint refuses the update that would go below zero.
  update public.gpu_pools as p
  set hours_free = p.hours_free + c.hours
  from (
    select c.pool_id, sum(case tg_op when 'INSERT' then -c.hours else c.hours end)::integer as hours
    from changed as c
    group by c.pool_id
  ) as c
  where p.id = c.pool_id;

  return null;
end;
$$;

comment on function public.gpu_reservations_move_hours() is
  'Takes the hours of new reservations from their pools, and gives those of deleted ones back. SQLSTATE 23514: too few are free.';

-- After the foreign keys, which hold the account: whoever ends it takes it first and the pools second,
-- too, so that the two never deadlock.
create trigger gpu_reservations_take_hours
  after insert on public.gpu_reservations
  referencing new table as changed
  for each statement execute function public.gpu_reservations_move_hours();

create trigger gpu_reservations_give_hours_back
  after delete on public.gpu_reservations
  referencing old table as changed
  for each statement execute function public.gpu_reservations_move_hours();

revoke all on function public.gpu_reservations_move_hours() from public, anon, authenticated, service_role;

-- Claim, effect and answer in one transaction: they commit together or not at all.
--
-- security definer: no signed-in user may claim or complete a key, or they could record an answer
-- that nothing stands behind. It acts for auth.uid() and for nobody else: the key's owner and the
-- reservation's user.
create function public.reserve_gpu_hours(
  p_pool_id uuid,
  p_hours integer,
  p_idempotency_key text,
  p_fingerprint text
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  c_scope constant text := 'reserve-gpu';
  v_answer public.idempotency_answer;
  v_reservation_id uuid;
  v_hours_free integer;
  v_constraint text;
begin
  v_answer := idempotency.claim_in_transaction(c_scope, p_idempotency_key, p_fingerprint);

  if v_answer.outcome <> 'claimed' then
    return v_answer;
  end if;

  -- Raised, and so not recorded: the claim is rolled back with everything else.
  if not exists (select from public.gpu_pools as p where p.id = p_pool_id) then
    raise exception 'reserving GPU hours: there is no pool %', p_pool_id using errcode = 'PT404';
  end if;

  begin
    insert into public.gpu_reservations (pool_id, hours)
    values (p_pool_id, p_hours)
    returning id into v_reservation_id;
  exception
    -- undoes this block only: the claim outside it stands, to be completed with the refusal
    when check_violation then
      get stacked diagnostics v_constraint = constraint_name;

      if v_constraint <> 'gpu_pools_hours_free_is_not_negative' then
        raise;
      end if;
  end;

  select p.hours_free into v_hours_free from public.gpu_pools as p where p.id = p_pool_id;

  if v_reservation_id is not null then
    v_answer.status_code := 201;
    v_answer.response_headers := '{"content-type": "application/json"}';
    v_answer.response := json_build_object(
      'reservationId', v_reservation_id,
      'poolId', p_pool_id,
      'hours', p_hours,
      'hoursFree', v_hours_free
    );
  else
    v_answer.status_code := 422;
    v_answer.response_headers := '{"content-type": "application/problem+json"}';
    v_answer.response := json_build_object(
      'type', 'urn:problem-type:too-few-gpu-hours',
      'title', 'Too few GPU hours',
      'status', 422,
      'detail', format(
        'Cannot reserve %s hours: the pool has %s hours free; ask for fewer under a new key', p_hours, v_hours_free
      ),
      'instance', '/reserve-gpu',
      'code', 'TOO_FEW_GPU_HOURS',
      'retryable', false,
      'hoursFree', v_hours_free
    );
  end if;

  return idempotency.complete_in_transaction(c_scope, p_idempotency_key, v_answer);
end;
$$;

comment on function public.reserve_gpu_hours(uuid, integer, text, text) is
  'Reserves hours once per key of the caller: completed, replay, mismatch, …, with the answer. SQLSTATE PT404: no such pool.';

revoke all on function public.reserve_gpu_hours(uuid, integer, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.reserve_gpu_hours(uuid, integer, text, text) to authenticated;
