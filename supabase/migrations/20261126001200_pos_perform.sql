-- Every write of the point of sale: its effect, its answer and its key in one transaction.
--
-- security definer: the tables behind it are written through this function and no other way, so that
-- no document is without its number and no goods move without a document. Every effect therefore
-- begins by asking whether the caller is a member; what is not theirs is not found.
--
-- What a refusal does to the key:
--
--   recorded, and replayed    PT422: what the goods allowed at that moment. The till has shown it, and
--                             a late duplicate must not sell what the customer was told was not there.
--   the key stays free        PT404, PT403: nothing was asked of the goods; the request, or the caller's
--                             role, is mended and sent again. PT409: the document is not in the state
--                             for it, which another request may change. All of the transaction goes.
create function public.pos_perform(
  p_operation text,
  p_subject_id uuid default null,
  p_request jsonb default '{}',
  p_idempotency_key text default null,
  p_fingerprint text default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  -- made here, for the reason given with reserve_gpu_hours
  v_owner_token constant uuid := gen_random_uuid();
  v_user_id constant uuid := auth.uid();
  v_answer public.idempotency_answer;
  v_completed public.idempotency_answer;
  v_detail text;
  v_refusal text;
begin
  if v_user_id is null then
    raise exception 'point of sale: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token.';
  end if;

  if p_idempotency_key is not null then
    -- 3 days: a till that lost its network on Friday retries on Monday. The lease ends with the
    -- transaction, and no other session sees it before.
    v_answer := public.idempotency_claim(
      v_user_id, p_operation, p_idempotency_key, p_fingerprint, v_owner_token, 10, 259200
    );

    if v_answer.outcome <> 'claimed' then
      return v_answer;
    end if;
  end if;

  begin
    v_answer.status_code := 200;
    v_answer.response_headers := '{"content-type": "application/json"}';

    case p_operation
      when 'pos/sales' then
        v_answer.status_code := 201;
        v_answer.response := public.pos_record_sale(p_request);
      when 'pos/sales/:id/refund' then
        v_answer.status_code := 201;
        v_answer.response := public.pos_refund_sale(p_subject_id, p_request);
      when 'pos/purchases/receipts/:id/approve' then
        v_answer.response := public.pos_approve_receipt(p_subject_id);
      when 'pos/transfers/:id/send' then
        v_answer.response := public.pos_move_transfer(p_subject_id, 'sent');
      when 'pos/transfers/:id/receive' then
        v_answer.response := public.pos_move_transfer(p_subject_id, 'received');
      else
        raise exception 'point of sale: there is no operation %', coalesce(quote_literal(left(p_operation, 100)), 'null')
          using errcode = '22023';
    end case;
  exception
    -- undoes this block only: the claim outside it stands, to be completed with the refusal
    when sqlstate 'PT422' then
      get stacked diagnostics v_detail = message_text, v_refusal = pg_exception_detail;
      v_answer.status_code := 422;
      v_answer.response_headers := '{"content-type": "application/problem+json"}';
      v_answer.response := jsonb_build_object(
        'type', 'urn:problem-type:' || replace(lower(v_refusal::jsonb ->> 'code'), '_', '-'),
        'title', v_refusal::jsonb ->> 'title',
        'status', 422,
        'detail', v_detail,
        'instance', '/' || replace(p_operation, ':id', coalesce(p_subject_id::text, '')),
        'code', v_refusal::jsonb ->> 'code',
        'retryable', false
      ) || (v_refusal::jsonb -> 'extensions');
  end;

  v_answer.outcome := 'completed';
  v_answer.response_encoding := 'text';

  if p_idempotency_key is null then
    return v_answer;
  end if;

  v_completed := public.idempotency_complete(
    v_user_id, p_operation, p_idempotency_key, v_owner_token,
    v_answer.status_code, v_answer.response, v_answer.response_encoding, v_answer.response_headers
  );

  -- cannot happen to a claim of this same transaction; if it did, nothing of it may stay
  if v_completed.outcome <> 'completed' then
    raise exception 'point of sale: completing the key % was answered with %', p_idempotency_key, v_completed.outcome;
  end if;

  v_answer.completed_at := v_completed.completed_at;
  return v_answer;
end;
$$;

comment on function public.pos_perform(text, uuid, jsonb, text, text) is
  'Performs an operation of the point of sale, once per key where there is one: completed, replay, mismatch, …, with the answer. SQLSTATE PT403, PT404, PT409: refused, and the key is free.';

revoke all on function public.pos_perform(text, uuid, jsonb, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.pos_perform(text, uuid, jsonb, text, text) to authenticated;
