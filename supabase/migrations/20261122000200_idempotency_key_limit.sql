-- A signed-in user can call the claim directly, so the number of rows one user can pile up is
-- bounded. Counting at each claim costs milliseconds for those with many keys; a sample finds
-- them, and whoever was found is counted each time until there is room again. A sample alone
-- would be no bound: it refuses one claim in 64 and grants the rest.

create table public.idempotency_counted_users (
  user_id uuid primary key references auth.users (id) on delete cascade
);

comment on table public.idempotency_counted_users is
  'Users who reached the limit of live keys when last counted.';

revoke all on table public.idempotency_counted_users from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.idempotency_counted_users to service_role;
alter table public.idempotency_counted_users enable row level security;

create policy "users see whether their own keys are counted"
  on public.idempotency_counted_users
  for select
  to authenticated
  using (user_id = (select auth.uid()));

create function public.idempotency_enforce_key_limit(p_user_id uuid) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  c_limit constant integer := 10000;
  v_counted boolean := exists (
    select from public.idempotency_counted_users as u where u.user_id = p_user_id
  );
  v_full boolean;
begin
  if not v_counted and random() >= 1.0 / 64 then
    return;
  end if;

  -- rows that wait for cleanup count too: they fill the disk as well, and this stays index-only
  select count(*) >= c_limit into v_full
  from (
    select from public.idempotency_keys as k where k.user_id = p_user_id limit c_limit
  ) as keys;

  if not v_full then
    if v_counted then
      delete from public.idempotency_counted_users as u where u.user_id = p_user_id;
    end if;
    return;
  end if;

  -- where cleanup is late, or was never set up, nobody stays locked out because of it
  delete from public.idempotency_keys as k
  using (
    select e.id
    from public.idempotency_keys as e
    where e.user_id = p_user_id and e.expires_at <= clock_timestamp()
    for update skip locked
  ) as expired
  where k.id = expired.id;

  if found then
    return;
  end if;

  if v_counted then
    raise exception 'claiming an idempotency key: user % has % live keys, the most there may be', p_user_id, c_limit
      using errcode = 'PT429', hint = 'Keys leave when their TTL ends.';
  end if;

  -- raising here would undo the mark, so the claim that was sampled is still granted
  insert into public.idempotency_counted_users (user_id) values (p_user_id) on conflict do nothing;
end;
$$;

comment on function public.idempotency_enforce_key_limit(uuid) is
  'Raises PT429 when a user holds 10,000 keys; counts a sample of calls, and each call of those near the limit.';

revoke all on function public.idempotency_enforce_key_limit(uuid) from public, anon, authenticated, service_role;
