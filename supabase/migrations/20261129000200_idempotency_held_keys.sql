-- Keys that are processing now, exactly, without reading the others: those that were when they were
-- counted, and what was claimed since. An index on the state or the lease would find them as well,
-- and cost each completion its heap-only update; see docs/decisions/0010.

create function public.idempotency_held_keys() returns setof public.idempotency_keys
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- as seen by the same snapshot as the keys; without its row everything is looked at
  v_counted constant bigint := coalesce((select r.counted_fence from public.idempotency_rollup as r), 0);
begin
  return query
  select k.*
  from public.idempotency_open_keys as o
  join public.idempotency_keys as k on k.id = o.id and k.fence = o.fence
  where o.status = 'processing' and k.status = 'processing' and k.fence <= v_counted
  union all
  select k.*
  from public.idempotency_keys as k
  where k.fence > v_counted and k.status = 'processing';
end;
$$;

comment on function public.idempotency_held_keys() is
  'Every key that is processing, with a live lease or a lapsed one.';

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
  from public.idempotency_held_keys() as k
  where k.lease_expires_at <= clock_timestamp()
  order by k.lease_expires_at, k.id
  limit p_limit;
end;
$$;

revoke all on function public.idempotency_held_keys() from public, anon, authenticated, service_role;
grant execute on function public.idempotency_held_keys() to service_role;
