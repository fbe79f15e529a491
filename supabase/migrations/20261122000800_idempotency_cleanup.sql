-- Removing what has expired, beside live traffic.

create function public.cleanup_expired_idempotency_keys(p_batch_size integer default 1000) returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_started constant timestamptz := clock_timestamp();
  v_deleted bigint := 0;
  v_batch integer;
begin
  if (p_batch_size between 1 and 10000) is not true then
    raise exception 'cleaning up idempotency keys: the batch size must be 1 to 10000, not %', coalesce(p_batch_size::text, 'null')
      using errcode = '22023';
  end if;

  -- One call is one transaction: what it deleted stays locked to its end, and a claim that wants
  -- such a row waits. So a call stops after 100 batches or 5 seconds, below the 8 seconds API
  -- roles have; what is left waits for the next call.
  for v_round in 1..100 loop
    -- materialized: the locking select runs once, whatever plan the delete gets
    with expired as materialized (
      select k.id
      from public.idempotency_keys as k
      where k.expires_at <= v_started
        and (k.lease_expires_at is null or k.lease_expires_at <= v_started)
      order by k.expires_at
      limit p_batch_size
      -- a row that is being claimed anew is neither waited for nor deleted
      for update skip locked
    )
    delete from public.idempotency_keys as k
    using expired
    where k.id = expired.id
      and k.expires_at <= v_started;

    get diagnostics v_batch = row_count;
    v_deleted := v_deleted + v_batch;

    exit when v_batch < p_batch_size or clock_timestamp() > v_started + interval '5 seconds';
  end loop;

  delete from public.idempotency_replay_counts as c where c.hour < v_started - interval '8 days';

  return v_deleted;
end;
$$;

comment on function public.cleanup_expired_idempotency_keys(integer) is
  'Deletes expired keys, oldest first, and returns how many; a full last batch means there may be more.';

revoke all on function public.cleanup_expired_idempotency_keys(integer)
  from public, anon, authenticated, service_role;
grant execute on function public.cleanup_expired_idempotency_keys(integer) to service_role;
