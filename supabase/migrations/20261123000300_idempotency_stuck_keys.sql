-- What waits for an operator, or for a caller that tries again.
--
-- Reads the whole table: an index on the lease would serve this one rare question and cost each
-- renewal its HOT update.

create function public.idempotency_stuck_keys(p_limit integer default 100) returns table (
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

comment on function public.idempotency_stuck_keys(integer) is
  'For operators: abandoned runs of all users, the one whose lease lapsed first at the top; cleanup removes them at expires_at.';

revoke all on function public.idempotency_stuck_keys(integer) from public, anon, authenticated, service_role;
grant execute on function public.idempotency_stuck_keys(integer) to service_role;
