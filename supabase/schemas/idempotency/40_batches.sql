-- Many transitions in one trip: the single ones over a list, each in its own row of the answer.
--
-- Keys are taken in the order of their bytes, whatever order they came in: two batches that share
-- keys then wait for each other at the first one they share, and neither holds what the other one
-- waits for.
--
-- A batch is one transaction, but its keys have nothing to do with one another: what a single call
-- would raise for one of them is told in its row, so that the others go on. Every block with an
-- exception clause is a subtransaction, and of more than 64 that write in one transaction every
-- other session pays for each look at a row. So a batch first runs in a single one; only where an
-- item is refused it starts over with one for each.

create type public.idempotency_item_answer as (
  idempotency_key text,
  outcome text,
  attempt integer,
  fence bigint,
  retry_after_seconds integer,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  steps jsonb,
  completed_at timestamptz,
  error_code text,
  error_message text
);

comment on type public.idempotency_item_answer is
  'What a batch answers for one key: what the single call would, or refused with the SQLSTATE and message that it would raise.';

create function idempotency.claim_item(
  p_owner text,
  p_scope text,
  p_item jsonb,
  p_terms jsonb
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return public.idempotency_claim(
    p_owner, p_scope, p_item ->> 'key', p_item ->> 'fingerprint', (p_item ->> 'owner_token')::uuid,
    (p_terms ->> 'lease_seconds')::integer, (p_terms ->> 'ttl_seconds')::integer,
    p_terms ->> 'on_abandoned', (p_terms ->> 'max_attempts')::integer,
    (p_terms ->> 'third_party')::boolean, nullif(p_item -> 'metadata', 'null')
  );
end;
$$;

comment on function idempotency.claim_item(text, text, jsonb, jsonb) is
  'Claims one key of a batch.';

create function idempotency.settle_item(
  p_owner text,
  p_scope text,
  p_item jsonb,
  p_terms jsonb
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_owner_token constant uuid := (p_item ->> 'owner_token')::uuid;
begin
  if coalesce(p_item ? 'error_message', false) then
    if p_item ?| array['response', 'response_encoding', 'response_headers'] then
      raise exception 'settling an idempotency key: one that failed has no answer, so none may be given'
        using errcode = '22023';
    end if;

    return public.idempotency_fail(
      p_owner, p_scope, p_item ->> 'key', v_owner_token, p_item ->> 'error_message',
      (p_terms ->> 'failed_ttl_seconds')::integer, (p_item ->> 'status_code')::integer
    );
  end if;

  -- ->> would turn an object into its text, which is not what was sent
  if coalesce(jsonb_typeof(p_item -> 'response'), 'null') not in ('string', 'null') then
    raise exception 'settling an idempotency key: the response must be a string or null, not %', jsonb_typeof(p_item -> 'response')
      using errcode = '22023';
  end if;

  return public.idempotency_complete(
    p_owner, p_scope, p_item ->> 'key', v_owner_token, (p_item ->> 'status_code')::integer,
    p_item ->> 'response', p_item ->> 'response_encoding',
    nullif(p_item -> 'response_headers', 'null'), (p_terms ->> 'ttl_seconds')::integer
  );
end;
$$;

comment on function idempotency.settle_item(text, text, jsonb, jsonb) is
  'Completes one key of a batch, or fails it where it has an error_message.';

create function idempotency.run_batch(
  p_transition text,
  p_owner text,
  p_scope text,
  p_items jsonb,
  p_terms jsonb
) returns setof public.idempotency_item_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  c_most constant integer := 100;
  v_apart boolean := false;
  v_item record;
  v_answer public.idempotency_answer;
  v_code text;
  v_message text;
  v_answers public.idempotency_item_answer[] := array[]::public.idempotency_item_answer[];
  v_item_answer public.idempotency_item_answer;
begin
  if jsonb_typeof(p_items) is distinct from 'array' then
    raise exception 'a batch of idempotency keys: the items must be an array, not %', coalesce(jsonb_typeof(p_items), 'null')
      using errcode = '22023';
  end if;

  if jsonb_array_length(p_items) > c_most then
    raise exception 'a batch of idempotency keys: there may be at most % items, not %', c_most, jsonb_array_length(p_items)
      using errcode = '22023';
  end if;

  loop
    begin
      for v_item in
        select
          i.place,
          i.item,
          i.item ->> 'key' as key,
          -- To the claim a token that it knows is a call sent twice, and granted twice. Within one
          -- call it is two items that would both run.
          p_transition = 'claim' and row_number() over (
            partition by i.item ->> 'key', lower(i.item ->> 'owner_token') order by i.place
          ) > 1 as again
        from jsonb_array_elements(p_items) with ordinality as i (item, place)
        order by i.item ->> 'key' collate "C", i.place
      loop
        v_code := null;
        v_message := null;

        if v_item.again then
          v_code := '22023';
          v_message := 'claiming an idempotency key: another item of the batch claims key '
            || coalesce(quote_literal(left(v_item.key, 300)), 'null') || ' with the same owner token';
        elsif v_apart then
          begin
            v_answer := case p_transition
              when 'claim' then idempotency.claim_item(p_owner, p_scope, v_item.item, p_terms)
              else idempotency.settle_item(p_owner, p_scope, v_item.item, p_terms)
            end;
          exception when
            invalid_parameter_value or invalid_text_representation or numeric_value_out_of_range
            or check_violation or sqlstate 'PT429'
          then
            get stacked diagnostics v_code = returned_sqlstate, v_message = message_text;
          end;
        else
          v_answer := case p_transition
            when 'claim' then idempotency.claim_item(p_owner, p_scope, v_item.item, p_terms)
            else idempotency.settle_item(p_owner, p_scope, v_item.item, p_terms)
          end;
        end if;

        if v_code is not null then
          v_answer := row('refused', null, null, null, null, null, null, null, null, null);
        end if;
        v_answers[v_item.place] := row(v_item.key, v_answer.*, v_code, v_message);
      end loop;
      exit;
    exception when
      invalid_parameter_value or invalid_text_representation or numeric_value_out_of_range
      or check_violation or sqlstate 'PT429'
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

comment on function idempotency.run_batch(text, text, text, jsonb, jsonb) is
  'Claims or settles up to 100 keys: one row each, in the order given.';

create function public.idempotency_claim_many(
  p_owner text,
  p_scope text,
  p_requests jsonb,
  p_lease_seconds integer,
  p_ttl_seconds integer,
  p_on_abandoned text default 'retry',
  p_max_attempts integer default 5,
  p_third_party boolean default false
) returns setof public.idempotency_item_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- Making room for an owner at the limit deletes rows in no order, so an owner's batches take turns.
  if p_owner <> '' then
    perform pg_advisory_xact_lock(hashtextextended('idempotency batch of ' || p_owner, 0));
  end if;

  return query select * from idempotency.run_batch(
    'claim', p_owner, p_scope, p_requests,
    jsonb_build_object(
      'lease_seconds', p_lease_seconds, 'ttl_seconds', p_ttl_seconds, 'on_abandoned', p_on_abandoned,
      'max_attempts', p_max_attempts, 'third_party', p_third_party
    )
  );
end;
$$;

comment on function public.idempotency_claim_many(text, text, jsonb, integer, integer, text, integer, boolean) is
  'Claims up to 100 keys [{key, fingerprint, owner_token, metadata}] of one scope: one row each, in the order given, with the outcome of idempotency_claim or refused.';

create function public.idempotency_settle_many(
  p_owner text,
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
begin
  return query select * from idempotency.run_batch(
    'settle', p_owner, p_scope, p_settlements,
    jsonb_build_object('ttl_seconds', p_ttl_seconds, 'failed_ttl_seconds', p_failed_ttl_seconds)
  );
end;
$$;

comment on function public.idempotency_settle_many(text, text, jsonb, integer, integer) is
  'Ends up to 100 claims of one scope, [{key, owner_token, status_code, response, response_encoding, response_headers}] or [{key, owner_token, error_message, status_code}]: one row each, in the order given, with the outcome of complete or fail or refused.';

revoke all on function idempotency.claim_item(text, text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function idempotency.settle_item(text, text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function idempotency.run_batch(text, text, text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_claim_many(text, text, jsonb, integer, integer, text, integer, boolean)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_settle_many(text, text, jsonb, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_claim_many(text, text, jsonb, integer, integer, text, integer, boolean)
  to service_role;
grant execute on function public.idempotency_settle_many(text, text, jsonb, integer, integer) to service_role;
