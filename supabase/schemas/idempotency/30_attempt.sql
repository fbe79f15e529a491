-- What an attempt does with its key: renew, checkpoint, complete, fail. Only the owner of a key that is
-- still processing writes; a lease that lapsed does not matter as long as nobody took the key over.
-- Each call may be sent twice.

-- A caller that does not own the key any more is told the winner's answer only if it once held
-- the key in this generation. A caller from before the key expired may have had another payload,
-- and the answer to somebody else's payload is no answer to it.
create function idempotency.answer_to_loser(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  -- what the call would have made of the key; null where it would have left it processing
  p_status text
) returns public.idempotency_answer
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_key public.idempotency_keys;
begin
  select k.* into v_key
  from public.idempotency_keys as k
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  -- the answer to this owner's first call was lost
  if v_key.owner_token = p_owner_token and v_key.status = p_status then
    return row(
      p_status, v_key.attempt, v_key.fence, null, null, null, null, null, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  -- A claim that is granted late, even between the call's look and this one, does not make its own
  -- caller a loser: whoever gives it back has to come again.
  if not coalesce(p_owner_token = any (v_key.owner_token || v_key.past_owners), false)
    or v_key.owner_token = p_owner_token and v_key.status = 'processing'
  then
    return row('gone', null, null, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  if v_key.status = 'completed' then
    return row(
      'replay', v_key.attempt, v_key.fence, null, v_key.status_code, v_key.response,
      v_key.response_encoding, v_key.response_headers, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  -- with the successor's attempt and fence: somebody is, or was last, at it
  return row('lost', v_key.attempt, v_key.fence, null, null, null, null, null, null, null)::public.idempotency_answer;
end;
$$;

comment on function idempotency.answer_to_loser(text, text, text, uuid, text) is
  'What a caller hears whose call changed nothing: its own earlier success, replay with the winner''s answer, lost or gone.';

-- A takeover changes both the token and the fence in one update, so of a renewal and a takeover that
-- meet at the row one finds it changed: the renewal then answers as to any loser, the takeover looks
-- again and sees a live lease.
create function public.idempotency_renew(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_lease_seconds integer
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_lease_end constant timestamptz := clock_timestamp() + make_interval(secs => p_lease_seconds);
  v_attempt integer;
  v_fence bigint;
begin
  if (p_lease_seconds between 1 and 86400) is not true then
    raise exception 'renewing an idempotency key: the lease must be 1 to 86400 seconds, not %', coalesce(p_lease_seconds::text, 'null')
      using errcode = '22023';
  end if;

  -- Neither column is set to less than it was: a renewal that was late on the way must not cut
  -- short the one that overtook it. lease_expires_at is in no index and expires_at mostly stays, so
  -- the update is HOT.
  update public.idempotency_keys as k
  set
    lease_expires_at = greatest(k.lease_expires_at, v_lease_end),
    expires_at = greatest(k.expires_at, v_lease_end)
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('renewed', v_attempt, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  -- no status: an owner that has settled the key itself has nothing to renew either
  return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, null);
end;
$$;

comment on function public.idempotency_renew(text, text, text, uuid, integer) is
  'Makes the lease of the attempt that owns the key last this many seconds from now: renewed, or replay, lost or gone.';

-- Renews the lease in the same trip, because an attempt that reports a step is alive.
create function public.idempotency_checkpoint(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_step text,
  p_result jsonb,
  p_lease_seconds integer
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  c_most_steps constant integer := 100;
  c_most_bytes constant integer := 1048576;
  v_lease_end timestamptz;
  v_key public.idempotency_keys;
  v_steps jsonb;
begin
  if (length(p_step) between 1 and 100) is not true then
    raise exception 'recording a step: its name must be 1 to 100 characters, not %', coalesce(length(p_step)::text, 'null')
      using errcode = '22023';
  end if;

  if (p_lease_seconds between 1 and 86400) is not true then
    raise exception 'recording step %: the lease must be 1 to 86400 seconds, not %', p_step, coalesce(p_lease_seconds::text, 'null')
      using errcode = '22023';
  end if;

  -- Locked before it is added to: one attempt may record several steps at once, and each has to
  -- see the others'. no key update is the lock that the update takes anyway.
  select k.* into v_key
  from public.idempotency_keys as k
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  for no key update;

  if not found then
    return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, null);
  end if;

  v_steps := coalesce(v_key.steps, '{}');

  -- The first result stays: the same call may arrive twice, and a later attempt may already have
  -- been handed what was recorded.
  if not v_steps ? p_step then
    -- JSON null arrives from PostgREST as SQL null; it is a result like false, 0 and ""
    v_steps := v_steps || jsonb_build_object(p_step, coalesce(p_result, 'null'));

    if (select count(*) from jsonb_object_keys(v_steps)) > c_most_steps then
      raise exception 'recording step %: key % has % steps, the most there may be', p_step, p_idempotency_key, c_most_steps
        using errcode = '22023';
    end if;

    if pg_column_size(v_steps) > c_most_bytes then
      raise exception 'recording step %: the steps of key % would take % bytes, more than %', p_step, p_idempotency_key, pg_column_size(v_steps), c_most_bytes
        using errcode = '22023', hint = 'Store what is large elsewhere and record where.';
    end if;

    -- all of them together: many small ones are large, and a key that failed keeps them
    if not idempotency.has_room_for(p_owner, pg_column_size(v_steps)) then
      raise exception 'recording step %: the live keys of the owner hold as many bytes as they may', p_step
        using errcode = 'PT429', hint = 'Store what is large elsewhere and record where, or say in idempotency.limits how much there may be.';
    end if;
  end if;

  -- after the wait for the lock
  v_lease_end := clock_timestamp() + make_interval(secs => p_lease_seconds);

  update public.idempotency_keys as k
  set
    steps = v_steps,
    lease_expires_at = greatest(k.lease_expires_at, v_lease_end),
    expires_at = greatest(k.expires_at, v_lease_end)
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  return row(
    'recorded', v_key.attempt, v_key.fence, null, null, null, null, null, null, null
  )::public.idempotency_answer;
end;
$$;

comment on function public.idempotency_checkpoint(text, text, text, uuid, text, jsonb, integer) is
  'Records the result of a step, the first one for good, and renews the lease: recorded, or replay, lost or gone.';

-- expires_at, in both ends: counted from the claim, so that the same TTL gives the same value and
-- the update stays HOT although the column is indexed. An operation that ran for more than half its
-- TTL still leaves its answer there for half of it.
create function public.idempotency_complete(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_status_code integer,
  p_response text,
  p_response_encoding text,
  p_response_headers jsonb,
  p_ttl_seconds integer default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_ttl constant interval := make_interval(secs => p_ttl_seconds);
  v_response text := p_response;
  v_response_encoding text := p_response_encoding;
  v_response_headers jsonb := p_response_headers;
  v_bytes constant integer := coalesce(octet_length(p_response), 0) + coalesce(pg_column_size(p_response_headers), 0);
  v_attempt integer;
  v_fence bigint;
begin
  if (
    p_status_code between 100 and 599
    and p_response_encoding in ('text', 'base64', 'gzip', 'none')
    and (p_response_encoding = 'none') = (p_response is null)
    and coalesce(octet_length(p_response), 0) <= 6291456
    and coalesce(p_ttl_seconds, 1) between 1 and 31536000
  ) is not true then
    raise exception using
      errcode = '22023',
      message = 'completing an idempotency key: ' || case
        when (p_status_code between 100 and 599) is not true
          then 'the status code must be 100 to 599, not ' || coalesce(p_status_code::text, 'null')
        when (p_response_encoding in ('text', 'base64', 'gzip', 'none')) is not true
          then 'the response encoding must be text, base64, gzip or none, not ' || coalesce(quote_literal(p_response_encoding), 'null')
        when (p_response_encoding = 'none') <> (p_response is null)
          then 'the response must be null where its encoding is none, and only there'
        when octet_length(p_response) > 6291456
          then 'the response must be at most 6291456 bytes, not ' || octet_length(p_response)
        else 'the TTL must be 1 to 31536000 seconds, not ' || p_ttl_seconds
      end;
  end if;

  -- The effect has happened, and that is recorded whatever it takes; a body that there is no room
  -- for is not kept, as one that is too large, and of headers that are large only where the result is.
  if v_bytes > 16384 and not idempotency.has_room_for(p_owner, v_bytes) then
    v_response := null;
    v_response_encoding := 'none';

    if pg_column_size(p_response_headers) > 16384 then
      v_response_headers := case
        when length(p_response_headers ->> 'location') <= 2000
          then jsonb_build_object('location', p_response_headers -> 'location')
        else '{}'
      end;
    end if;
  end if;

  update public.idempotency_keys as k
  set
    status = 'completed',
    status_code = p_status_code,
    response = v_response,
    response_encoding = v_response_encoding,
    response_headers = v_response_headers,
    completed_at = v_now,
    lease_expires_at = null,
    expires_at = case
      when v_ttl is null then greatest(k.expires_at, v_now + (k.expires_at - k.claimed_at) / 2)
      else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)
    end
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('completed', v_attempt, v_fence, null, null, null, null, null, null, v_now)::public.idempotency_answer;
  end if;

  return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, 'completed');
end;
$$;

comment on function public.idempotency_complete(text, text, text, uuid, integer, text, text, jsonb, integer) is
  'Records the final answer of the attempt that owns the key: completed, or replay, lost or gone.';

-- Known not to have taken effect, so the next claim runs again and keeps the steps.
create function public.idempotency_fail(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_error_message text,
  p_ttl_seconds integer default null,
  -- of the answer that was not final; null where there was none
  p_status_code integer default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_ttl constant interval := make_interval(secs => p_ttl_seconds);
  v_attempt integer;
  v_fence bigint;
begin
  if not (
    coalesce(p_ttl_seconds, 1) between 1 and 31536000
    and coalesce(p_status_code, 100) between 100 and 599
  ) then
    raise exception 'failing an idempotency key: the TTL must be 1 to 31536000 seconds and the status code 100 to 599, not % and %', coalesce(p_ttl_seconds::text, 'null'), coalesce(p_status_code::text, 'null')
      using errcode = '22023';
  end if;

  update public.idempotency_keys as k
  set
    status = 'failed',
    status_code = p_status_code,
    -- cut, not refused: a long message is no reason to leave the key in processing
    error_message = left(p_error_message, 2000),
    crashed_attempts = null,
    completed_at = v_now,
    lease_expires_at = null,
    expires_at = case
      when v_ttl is null then greatest(k.expires_at, v_now + (k.expires_at - k.claimed_at) / 2)
      else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)
    end
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('failed', v_attempt, v_fence, null, null, null, null, null, null, v_now)::public.idempotency_answer;
  end if;

  return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, 'failed');
end;
$$;

comment on function public.idempotency_fail(text, text, text, uuid, text, integer, integer) is
  'Records that the attempt that owns the key took no effect, so that the key may run again: failed, or replay, lost or gone.';

revoke all on function idempotency.answer_to_loser(text, text, text, uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_renew(text, text, text, uuid, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_checkpoint(text, text, text, uuid, text, jsonb, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_complete(text, text, text, uuid, integer, text, text, jsonb, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_fail(text, text, text, uuid, text, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_renew(text, text, text, uuid, integer) to service_role;
grant execute on function public.idempotency_checkpoint(text, text, text, uuid, text, jsonb, integer) to service_role;
grant execute on function public.idempotency_complete(text, text, text, uuid, integer, text, text, jsonb, integer) to service_role;
grant execute on function public.idempotency_fail(text, text, text, uuid, text, integer, integer) to service_role;
