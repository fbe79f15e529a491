-- Large answers may be kept as gzip in base64, made and read by the edge function. Postgres
-- compresses at rest by itself; this halves what goes over the wire as well.

-- Not valid first: a check that is added as valid reads the whole table under a lock that keeps
-- everybody out. Validating locks less, where each statement is a transaction of its own.
alter table public.idempotency_keys
  drop constraint response_encoding_is_known,
  add constraint response_encoding_is_known
    check (response_encoding in ('text', 'base64', 'gzip', 'none')) not valid;

alter table public.idempotency_keys validate constraint response_encoding_is_known;

comment on column public.idempotency_keys.response_encoding is
  'How response is written down: text, base64, gzip (in base64), or none where the answer was not kept.';

-- As before, but for the encodings that it knows.
create or replace function public.idempotency_complete(
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
