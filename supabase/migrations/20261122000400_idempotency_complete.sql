-- Ending a claim. Only the owner of a key that is still processing writes; a lease that lapsed
-- does not matter as long as nobody took the key over. Each call may be sent twice.
--
-- A caller that does not own the key any more is told the winner's answer only if it once held
-- the key in this generation. A caller from before the key expired may have had another payload,
-- and the answer to somebody else's payload is no answer to it.

create function public.idempotency_answer_to_loser(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
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
  if p_user_id is not null then
    select k.* into v_key
    from public.idempotency_keys as k
    where k.user_id = p_user_id and k.scope = p_scope and k.idempotency_key = p_idempotency_key;
  else
    select k.* into v_key
    from public.idempotency_keys as k
    where k.user_id is null and k.scope = p_scope and k.idempotency_key = p_idempotency_key;
  end if;

  -- the answer to this owner's first call was lost
  if v_key.owner_token = p_owner_token and v_key.status = p_status then
    return row(
      p_status, v_key.attempt, v_key.fence, null, null, null, null, null, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  if not coalesce(p_owner_token = any (v_key.owner_token || v_key.past_owners), false) then
    return row('stale', null, null, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  if v_key.status = 'completed' then
    return row(
      'replay', v_key.attempt, v_key.fence, null, v_key.status_code, v_key.response,
      v_key.response_encoding, v_key.response_headers, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  -- with the successor's attempt and fence: somebody is, or was last, at it
  return row('stale', v_key.attempt, v_key.fence, null, null, null, null, null, null, null)::public.idempotency_answer;
end;
$$;

comment on function public.idempotency_answer_to_loser(uuid, text, text, uuid, text) is
  'What a caller hears whose complete or fail changed nothing: its own earlier success, the winner''s answer, or stale.';

create function public.idempotency_complete(
  p_user_id uuid,
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
  v_user_id uuid := p_user_id;
  v_now constant timestamptz := clock_timestamp();
  v_ttl constant interval := make_interval(secs => p_ttl_seconds);
  v_attempt integer;
  v_fence bigint;
begin
  if current_setting('role') <> 'service_role' and not public.idempotency_trusts_caller() then
    v_user_id := public.idempotency_signed_in_user(p_user_id);
  end if;

  if (
    p_status_code between 100 and 599
    and p_response_encoding in ('text', 'base64', 'gzip', 'none')
    and (p_response_encoding = 'none') = (p_response is null)
    and coalesce(octet_length(p_response), 0) <= 6 * 1024 * 1024
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
        when octet_length(p_response) > 6 * 1024 * 1024
          then 'the response must be at most 6291456 bytes, not ' || octet_length(p_response)
        else 'the TTL must be 1 to 31536000 seconds, not ' || p_ttl_seconds
      end;
  end if;

  -- expires_at: counted from the claim, so that the same TTL gives the same value and the update
  -- stays HOT although the column is indexed. An operation that ran for more than half its TTL
  -- still leaves its answer there for half of it.
  if v_user_id is not null then
    update public.idempotency_keys as k
    set
      status = 'completed',
      status_code = p_status_code,
      response = p_response,
      response_encoding = p_response_encoding,
      response_headers = p_response_headers,
      completed_at = v_now,
      lease_expires_at = null,
      expires_at = case
        when v_ttl is null then greatest(k.expires_at, v_now + (k.expires_at - k.claimed_at) / 2)
        else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)
      end
    where k.user_id = v_user_id
      and k.scope = p_scope
      and k.idempotency_key = p_idempotency_key
      and k.owner_token = p_owner_token
      and k.status = 'processing'
    returning k.attempt, k.fence into v_attempt, v_fence;
  else
    update public.idempotency_keys as k
    set
      status = 'completed',
      status_code = p_status_code,
      response = p_response,
      response_encoding = p_response_encoding,
      response_headers = p_response_headers,
      completed_at = v_now,
      lease_expires_at = null,
      expires_at = case
        when v_ttl is null then greatest(k.expires_at, v_now + (k.expires_at - k.claimed_at) / 2)
        else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)
      end
    where k.user_id is null
      and k.scope = p_scope
      and k.idempotency_key = p_idempotency_key
      and k.owner_token = p_owner_token
      and k.status = 'processing'
    returning k.attempt, k.fence into v_attempt, v_fence;
  end if;

  if found then
    return row('completed', v_attempt, v_fence, null, null, null, null, null, null, v_now)::public.idempotency_answer;
  end if;

  return public.idempotency_answer_to_loser(v_user_id, p_scope, p_idempotency_key, p_owner_token, 'completed');
end;
$$;

comment on function public.idempotency_complete(uuid, text, text, uuid, integer, text, text, jsonb, integer) is
  'Records the final answer of the attempt that owns the key: completed, or replay or stale for a caller that lost it.';

revoke all on function public.idempotency_answer_to_loser(uuid, text, text, uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_complete(uuid, text, text, uuid, integer, text, text, jsonb, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_complete(uuid, text, text, uuid, integer, text, text, jsonb, integer)
  to authenticated, service_role;
