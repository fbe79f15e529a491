-- The frame of a function that claims, writes and completes in one transaction, for the caller who
-- is signed in: claim_in_transaction, the writes, complete_in_transaction.
--
-- Such a function is security definer, because neither is granted to anybody: a user who could claim
-- or complete could record an answer that nothing stands behind.

-- The holder of the key is the transaction. A caller needs a token of its own to find a claim again
-- whose answer was lost; of this claim nobody ever sees the middle. If it committed, the answer is
-- recorded and a retry replays it, whatever token it brings; if not, there is nothing to be found.
--
-- Not the transaction's id: to ask for it assigns one, and a replay must not write.
create function idempotency.transaction_token() returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select md5(pg_backend_pid() || ' ' || extract(epoch from transaction_timestamp()))::uuid
$$;

comment on function idempotency.transaction_token() is
  'The owner token of what this transaction claims: the same all through it, and in no other.';

-- The lease only has to be positive: it is never seen running, because it ends with the transaction.
-- The second caller waits in the claim until the first has committed or rolled back.
create function idempotency.claim_in_transaction(
  p_scope text,
  p_idempotency_key text,
  p_fingerprint text,
  p_ttl_seconds integer default 86400
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_owner constant text := idempotency.signed_in_owner();
  v_answer public.idempotency_answer;
begin
  if v_owner is null then
    raise exception 'claiming an idempotency key: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token.';
  end if;

  v_answer := public.idempotency_claim(
    v_owner, p_scope, p_idempotency_key, p_fingerprint, idempotency.transaction_token(), 10, p_ttl_seconds
  );

  -- from somebody who works outside of a transaction, under the same scope
  if v_answer.outcome = 'taken_over' then
    v_answer.outcome := 'claimed';
  end if;

  -- the answer goes to the user as it is, who is told neither fences nor steps
  if v_answer.outcome <> 'claimed' then
    v_answer.fence := null;
  end if;

  return v_answer;
end;
$$;

comment on function idempotency.claim_in_transaction(text, text, text, integer) is
  'Claims a key of the signed-in user for this transaction: where it is not claimed, the answer is to be returned as it is.';

create function idempotency.complete_in_transaction(
  p_scope text,
  p_idempotency_key text,
  p_answer public.idempotency_answer
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_completed public.idempotency_answer;
begin
  p_answer.response_encoding := coalesce(p_answer.response_encoding, 'text');

  v_completed := public.idempotency_complete(
    idempotency.signed_in_owner(), p_scope, p_idempotency_key, idempotency.transaction_token(),
    p_answer.status_code, p_answer.response, p_answer.response_encoding, p_answer.response_headers
  );

  -- the key was not claimed in this transaction: nothing of it may stay
  if v_completed.outcome <> 'completed' then
    raise exception 'completing idempotency key % in a transaction: the answer was %, not completed', p_idempotency_key, v_completed.outcome
      using hint = 'Claim it with claim_in_transaction in the same transaction.';
  end if;

  p_answer.fence := null;
  p_answer.steps := null;
  p_answer.outcome := v_completed.outcome;
  p_answer.completed_at := v_completed.completed_at;
  return p_answer;
end;
$$;

comment on function idempotency.complete_in_transaction(text, text, public.idempotency_answer) is
  'Records status_code, response and response_headers as the answer of the key claimed in this transaction, and returns it.';

revoke all on function idempotency.transaction_token() from public, anon, authenticated, service_role;
revoke all on function idempotency.claim_in_transaction(text, text, text, integer) from public, anon, authenticated, service_role;
revoke all on function idempotency.complete_in_transaction(text, text, public.idempotency_answer)
  from public, anon, authenticated, service_role;
