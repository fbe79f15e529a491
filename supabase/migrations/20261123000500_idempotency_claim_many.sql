-- Many claims in one trip, each decided as idempotency_claim decides it.
--
-- Keys are taken in the order of their bytes, whatever order they came in: two batches that share
-- keys then wait for each other at the first one they share, and neither holds what the other one
-- waits for.
--
-- Every block with an exception clause is a subtransaction, and of more than 64 that write in one
-- transaction every other session pays for each look at a row. So the batch first runs in a single
-- one; only where an item is refused it starts over with one for each.

create function public.idempotency_claim_many(
  p_user_id uuid,
  p_scope text,
  p_requests jsonb,
  p_lease_seconds integer,
  p_ttl_seconds integer,
  p_on_abandoned text default 'retry'
) returns setof public.idempotency_item_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  c_most constant integer := 100;
  v_user_id uuid := p_user_id;
  v_limited boolean := false;
  v_apart boolean := false;
  v_item record;
  v_answer public.idempotency_answer;
  v_code text;
  v_message text;
  v_answers public.idempotency_item_answer[] := array[]::public.idempotency_item_answer[];
  v_item_answer public.idempotency_item_answer;
begin
  if current_setting('role') <> 'service_role' and not public.idempotency_trusts_caller() then
    v_user_id := public.idempotency_signed_in_user(p_user_id);
    v_limited := true;
  end if;

  if jsonb_typeof(p_requests) is distinct from 'array' then
    raise exception 'claiming idempotency keys: the requests must be an array, not %', coalesce(jsonb_typeof(p_requests), 'null')
      using errcode = '22023';
  end if;

  -- what all items share is not the fault of one
  if (
    jsonb_array_length(p_requests) <= c_most
    and length(p_scope) between 1 and 200
    and p_lease_seconds between 1 and 86400
    and p_ttl_seconds between 1 and 31536000
    and p_on_abandoned in ('retry', 'refuse')
  ) is not true then
    raise exception using
      errcode = '22023',
      message = 'claiming idempotency keys: ' || case
        when jsonb_array_length(p_requests) > c_most
          then 'there may be at most ' || c_most || ' requests, not ' || jsonb_array_length(p_requests)
        when (length(p_scope) between 1 and 200) is not true
          then 'the scope must be 1 to 200 characters, not ' || coalesce(length(p_scope)::text, 'null')
        when (p_lease_seconds between 1 and 86400) is not true
          then 'the lease must be 1 to 86400 seconds, not ' || coalesce(p_lease_seconds::text, 'null')
        when (p_ttl_seconds between 1 and 31536000) is not true
          then 'the TTL must be 1 to 31536000 seconds, not ' || coalesce(p_ttl_seconds::text, 'null')
        else 'the policy for abandoned keys must be retry or refuse, not ' || coalesce(quote_literal(p_on_abandoned), 'null')
      end;
  end if;

  -- Making room for a user at the limit deletes rows in no order, so a user's batches take turns.
  if v_limited then
    perform pg_advisory_xact_lock(hashtextextended('idempotency batch of ' || v_user_id, 0));
  end if;

  loop
    begin
      for v_item in
        select
          i.place,
          i.request ->> 'key' as key,
          i.request ->> 'fingerprint' as fingerprint,
          i.request ->> 'owner_token' as owner_token,
          nullif(i.request -> 'metadata', 'null') as metadata,
          -- To the claim a token that it knows is a call sent twice, and granted twice. Within one
          -- call it is two items that would both run.
          row_number() over (
            partition by i.request ->> 'key', lower(i.request ->> 'owner_token') order by i.place
          ) > 1 as again
        from jsonb_array_elements(p_requests) with ordinality as i (request, place)
        order by i.request ->> 'key' collate "C", i.place
      loop
        v_code := null;
        v_message := null;

        if v_item.again then
          v_code := '22023';
          v_message := 'claiming an idempotency key: another item of the batch claims key '
            || coalesce(quote_literal(left(v_item.key, 300)), 'null') || ' with the same owner token';
        elsif v_apart then
          begin
            v_answer := public.idempotency_decide_claim(
              v_user_id, p_scope, v_item.key, v_item.fingerprint, v_item.owner_token::uuid,
              p_lease_seconds, p_ttl_seconds, p_on_abandoned, v_item.metadata, true, v_limited
            );
          exception when
            invalid_parameter_value or invalid_text_representation or check_violation or sqlstate 'PT429'
          then
            get stacked diagnostics v_code = returned_sqlstate, v_message = message_text;
          end;
        else
          v_answer := public.idempotency_decide_claim(
            v_user_id, p_scope, v_item.key, v_item.fingerprint, v_item.owner_token::uuid,
            p_lease_seconds, p_ttl_seconds, p_on_abandoned, v_item.metadata, true, v_limited
          );
        end if;

        if v_code is not null then
          v_answer := row('refused', null, null, null, null, null, null, null, null, null);
        end if;
        v_answers[v_item.place] := row(v_item.key, v_answer.*, v_code, v_message);
      end loop;
      exit;
    exception when
      invalid_parameter_value or invalid_text_representation or check_violation or sqlstate 'PT429'
    then
      if v_apart then
        raise;
      end if;
      v_apart := true;
    end;
  end loop;

  foreach v_item_answer in array v_answers loop
    return next v_item_answer;
  end loop;
end;
$$;

comment on function public.idempotency_claim_many(uuid, text, jsonb, integer, integer, text) is
  'Claims up to 100 keys [{key, fingerprint, owner_token, metadata}] of one scope: one row each, in the order given, with the outcome of idempotency_claim or refused.';

revoke all on function public.idempotency_claim_many(uuid, text, jsonb, integer, integer, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_claim_many(uuid, text, jsonb, integer, integer, text)
  to authenticated, service_role;
