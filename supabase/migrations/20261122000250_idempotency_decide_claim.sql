-- Every answer of a claim but the plain replay, and the writes that grant it.
--
-- In read committed each statement of a plpgsql function sees what was committed before that
-- statement: that is what makes the look after a lost insert find the winner's row.
--
-- clock_timestamp(), not now(): now() stands still in a transaction. Somebody who claims late in
-- a long one would get a lease that is already over, and whoever waited for a lock would judge
-- leases by a clock from before the wait.

create function public.idempotency_decide_claim(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text,
  p_fingerprint text,
  p_owner_token uuid,
  p_lease_seconds integer,
  p_ttl_seconds integer,
  p_on_abandoned text,
  p_metadata jsonb,
  -- false where a look just found no row
  p_row_seen boolean,
  p_limited boolean
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_lease_end timestamptz;
  v_expiry timestamptz;
  v_free boolean;
  v_key public.idempotency_keys;
  v_attempt integer;
  v_fence bigint;
  v_steps jsonb;
begin
  -- Each further round means that somebody else changed the row in between; the bound is for a
  -- row that can neither be seen nor inserted, such as behind a project's own trigger.
  for v_round in 1..20 loop
    if p_row_seen or v_round > 1 then
      select k.* into v_key
      from public.idempotency_keys as k
      where (k.user_id = p_user_id or (p_user_id is null and k.user_id is null))
        and k.scope = p_scope
        and k.idempotency_key = p_idempotency_key;
    end if;

    v_now := clock_timestamp();
    v_free := v_key.id is null or v_key.expires_at <= v_now;

    if not v_free then
      if v_key.request_fingerprint is distinct from p_fingerprint then
        return row(
          'mismatch', v_key.attempt, v_key.fence, null, null, null, null, null, null, null
        )::public.idempotency_answer;
      end if;

      if v_key.status = 'completed' then
        return row(
          'replay', v_key.attempt, v_key.fence, null, v_key.status_code, v_key.response,
          v_key.response_encoding, v_key.response_headers, null, v_key.completed_at
        )::public.idempotency_answer;
      end if;

      if v_key.status = 'processing' and v_key.owner_token is distinct from p_owner_token then
        if v_key.lease_expires_at > v_now then
          return row(
            'in_progress', v_key.attempt, v_key.fence,
            ceil(extract(epoch from v_key.lease_expires_at - v_now))::integer,
            null, null, null, null, null, null
          )::public.idempotency_answer;
        end if;

        if p_on_abandoned = 'refuse' then
          return row(
            'abandoned', v_key.attempt, v_key.fence, null, null, null, null, null, null, null
          )::public.idempotency_answer;
        end if;
      end if;
    end if;

    if (
      p_idempotency_key !~ '[^A-Za-z0-9_-]'
      and length(p_idempotency_key) between 3 and 256
      and length(p_scope) between 1 and 200
      and p_fingerprint !~ '[^0-9a-f]'
      and length(p_fingerprint) = 64
      and p_owner_token is not null
      and p_lease_seconds between 1 and 86400
      and p_ttl_seconds between 1 and 31536000
      and p_on_abandoned in ('retry', 'refuse')
    ) is not true then
      raise exception using
        errcode = '22023',
        message = 'claiming an idempotency key: ' || case
          when (p_idempotency_key !~ '[^A-Za-z0-9_-]' and length(p_idempotency_key) between 3 and 256) is not true
            then 'the key must be 3 to 256 letters, digits, - or _, not ' || coalesce(quote_literal(left(p_idempotency_key, 300)), 'null')
          when (length(p_scope) between 1 and 200) is not true
            then 'the scope must be 1 to 200 characters, not ' || coalesce(length(p_scope)::text, 'null')
          when (p_fingerprint !~ '[^0-9a-f]' and length(p_fingerprint) = 64) is not true
            then 'the fingerprint must be 64 lowercase hex digits, not ' || coalesce(quote_literal(left(p_fingerprint, 100)), 'null')
          when p_owner_token is null
            then 'the owner token must not be null'
          when (p_lease_seconds between 1 and 86400) is not true
            then 'the lease must be 1 to 86400 seconds, not ' || coalesce(p_lease_seconds::text, 'null')
          when (p_ttl_seconds between 1 and 31536000) is not true
            then 'the TTL must be 1 to 31536000 seconds, not ' || coalesce(p_ttl_seconds::text, 'null')
          else 'the policy for abandoned keys must be retry or refuse, not ' || coalesce(quote_literal(p_on_abandoned), 'null')
        end;
    end if;

    v_lease_end := v_now + make_interval(secs => p_lease_seconds);
    v_expiry := v_now + make_interval(secs => greatest(p_ttl_seconds, p_lease_seconds));

    if v_key.id is null then
      if p_limited then
        perform public.idempotency_enforce_key_limit(p_user_id);
      end if;

      insert into public.idempotency_keys (
        user_id, scope, idempotency_key, request_fingerprint, owner_token,
        lease_expires_at, metadata, created_at, claimed_at, expires_at
      )
      values (
        p_user_id, p_scope, p_idempotency_key, p_fingerprint, p_owner_token,
        v_lease_end, p_metadata, v_now, v_now, v_expiry
      )
      on conflict do nothing
      returning fence into v_fence;

      if found then
        return row('claimed', 1, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
      end if;
    elsif v_free then
      -- a new generation: nothing of the old one may be seen through it
      update public.idempotency_keys as k
      set
        request_fingerprint = p_fingerprint,
        status = 'processing',
        attempt = 1,
        fence = nextval('public.idempotency_fence_seq'),
        owner_token = p_owner_token,
        past_owners = null,
        lease_expires_at = v_lease_end,
        response = null,
        response_encoding = null,
        status_code = null,
        response_headers = null,
        error_message = null,
        steps = null,
        metadata = p_metadata,
        created_at = v_now,
        claimed_at = v_now,
        completed_at = null,
        expires_at = v_expiry
      where k.id = v_key.id and k.fence = v_key.fence and k.expires_at <= v_now
      returning k.fence into v_fence;

      if found then
        return row('claimed', 1, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
      end if;
    elsif v_key.status = 'processing' and v_key.owner_token = p_owner_token then
      -- The answer to the first claim was lost on the way; a caller that asks now starts now.
      update public.idempotency_keys as k
      set
        lease_expires_at = greatest(k.lease_expires_at, v_lease_end),
        expires_at = greatest(k.expires_at, v_lease_end)
      where k.id = v_key.id and k.fence = v_key.fence and k.status = 'processing'
      -- as they are now: a step may have been recorded while this waited for the row
      returning k.steps into v_steps;

      if found then
        return row(
          'claimed', v_key.attempt, v_key.fence, null, null, null, null, null, v_steps, null
        )::public.idempotency_answer;
      end if;
    else
      -- Guarded by what was seen: of many callers exactly one finds the fence unchanged. The lease
      -- is looked at again, because renewing it leaves the fence as it is.
      update public.idempotency_keys as k
      set
        status = 'processing',
        attempt = k.attempt + 1,
        fence = nextval('public.idempotency_fence_seq'),
        owner_token = p_owner_token,
        -- bounded: whoever lost the key 32 attempts ago is past caring
        past_owners = (k.owner_token || k.past_owners)[1:32],
        lease_expires_at = v_lease_end,
        error_message = null,
        -- what the attempt brings, beside what an operator noted where both fit
        metadata = case
          when pg_column_size(k.metadata || p_metadata) <= 16384 then k.metadata || p_metadata
          else coalesce(p_metadata, k.metadata)
        end,
        claimed_at = v_now,
        expires_at = v_expiry
      where k.id = v_key.id
        and k.fence = v_key.fence
        -- failing leaves the fence as it is too, and turns a takeover into a retry
        and k.status = v_key.status
        and (k.status = 'failed' or k.lease_expires_at <= v_now)
      returning k.attempt, k.fence, k.steps into v_attempt, v_fence, v_steps;

      if found then
        return row(
          -- 0 seconds to wait tells a takeover from the retry of a failed attempt
          'claimed', v_attempt, v_fence, case when v_key.status = 'processing' then 0 end,
          null, null, null, null, v_steps, null
        )::public.idempotency_answer;
      end if;
    end if;
  end loop;

  raise exception 'claiming an idempotency key: the row of key % changed under each of 20 attempts', p_idempotency_key
    using errcode = '40001', hint = 'Send the claim again.';
end;
$$;

comment on function public.idempotency_decide_claim(uuid, text, text, text, uuid, integer, integer, text, jsonb, boolean, boolean) is
  'Grants a claim or says why not, for a caller whose identity idempotency_claim has settled.';

revoke all on function public.idempotency_decide_claim(uuid, text, text, text, uuid, integer, integer, text, jsonb, boolean, boolean)
  from public, anon, authenticated, service_role;
