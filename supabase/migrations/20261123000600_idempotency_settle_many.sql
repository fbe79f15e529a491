-- Ending many claims in one trip, each as idempotency_complete and idempotency_fail end it. Order
-- and subtransactions are as in idempotency_claim_many.

create function public.idempotency_settle_item(
  p_user_id uuid,
  p_scope text,
  p_settlement jsonb,
  p_ttl_seconds integer,
  p_failed_ttl_seconds integer
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_owner_token constant uuid := (p_settlement ->> 'owner_token')::uuid;
  v_completed constant boolean := p_settlement ->> 'status_code' is not null;
begin
  if v_completed = (p_settlement ->> 'error_message' is not null)
    and (v_completed or not coalesce(p_settlement ? 'error_message', false))
  then
    raise exception 'settling an idempotency key: it needs a status_code or an error_message, and not both'
      using errcode = '22023';
  end if;

  -- ->> would turn an object into its text, which is not what was sent
  if coalesce(jsonb_typeof(p_settlement -> 'response'), 'null') not in ('string', 'null') then
    raise exception 'settling an idempotency key: the response must be a string or null, not %', jsonb_typeof(p_settlement -> 'response')
      using errcode = '22023';
  end if;

  if v_completed then
    return public.idempotency_complete(
      p_user_id, p_scope, p_settlement ->> 'key', v_owner_token,
      (p_settlement ->> 'status_code')::integer, p_settlement ->> 'response',
      p_settlement ->> 'response_encoding', nullif(p_settlement -> 'response_headers', 'null'),
      p_ttl_seconds
    );
  end if;

  return public.idempotency_fail(
    p_user_id, p_scope, p_settlement ->> 'key', v_owner_token, p_settlement ->> 'error_message',
    p_failed_ttl_seconds
  );
end;
$$;

comment on function public.idempotency_settle_item(uuid, text, jsonb, integer, integer) is
  'Completes or fails one key of a batch.';

create function public.idempotency_settle_many(
  p_user_id uuid,
  p_scope text,
  p_settlements jsonb,
  p_ttl_seconds integer default null,
  p_failed_ttl_seconds integer default null
) returns setof public.idempotency_item_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  c_most constant integer := 100;
  v_user_id uuid := p_user_id;
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
  end if;

  if jsonb_typeof(p_settlements) is distinct from 'array' then
    raise exception 'settling idempotency keys: the settlements must be an array, not %', coalesce(jsonb_typeof(p_settlements), 'null')
      using errcode = '22023';
  end if;

  if jsonb_array_length(p_settlements) > c_most then
    raise exception 'settling idempotency keys: there may be at most % settlements, not %', c_most, jsonb_array_length(p_settlements)
      using errcode = '22023';
  end if;

  if not (
    coalesce(p_ttl_seconds, 1) between 1 and 31536000
    and coalesce(p_failed_ttl_seconds, 1) between 1 and 31536000
  ) then
    raise exception 'settling idempotency keys: the TTLs must be 1 to 31536000 seconds, not % and %', coalesce(p_ttl_seconds::text, 'null'), coalesce(p_failed_ttl_seconds::text, 'null')
      using errcode = '22023';
  end if;

  loop
    begin
      for v_item in
        select i.place, i.settlement, i.settlement ->> 'key' as key
        from jsonb_array_elements(p_settlements) with ordinality as i (settlement, place)
        order by i.settlement ->> 'key' collate "C", i.place
      loop
        v_code := null;
        v_message := null;

        if v_apart then
          begin
            v_answer := public.idempotency_settle_item(
              v_user_id, p_scope, v_item.settlement, p_ttl_seconds, p_failed_ttl_seconds
            );
          exception when
            invalid_parameter_value or invalid_text_representation or numeric_value_out_of_range or check_violation
          then
            get stacked diagnostics v_code = returned_sqlstate, v_message = message_text;
            v_answer := row('refused', null, null, null, null, null, null, null, null, null);
          end;
        else
          v_answer := public.idempotency_settle_item(
            v_user_id, p_scope, v_item.settlement, p_ttl_seconds, p_failed_ttl_seconds
          );
        end if;

        v_answers[v_item.place] := row(v_item.key, v_answer.*, v_code, v_message);
      end loop;
      exit;
    exception when
      invalid_parameter_value or invalid_text_representation or numeric_value_out_of_range or check_violation
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

comment on function public.idempotency_settle_many(uuid, text, jsonb, integer, integer) is
  'Ends up to 100 claims of one scope, [{key, owner_token, status_code, response, response_encoding, response_headers}] or [{key, owner_token, error_message}]: one row each, in the order given, with the outcome of complete or fail or refused.';

revoke all on function public.idempotency_settle_item(uuid, text, jsonb, integer, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_settle_many(uuid, text, jsonb, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_settle_many(uuid, text, jsonb, integer, integer)
  to authenticated, service_role;
