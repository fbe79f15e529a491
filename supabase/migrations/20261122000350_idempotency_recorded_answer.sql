-- The replay alone, for callers that write their own statement (a direct connection):
--
--   select … from public.idempotency_recorded_answer(…)
--   union all (select … from public.idempotency_claim(…))
--   limit 1
--
-- The claim is not called where there is an answer, and this is inlined into the statement, so that a
-- replay costs little more than reading the row. Inlining wants language sql, stable, security invoker
-- and no set search_path. A body that is parsed when the function is made needs no search path.
--
-- In another order of the two branches the claim would answer the same replay: order is a matter of
-- speed only. The project's keys have no user, "=" does not find those, and the claim answers for them.

create function public.idempotency_recorded_answer(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text,
  p_fingerprint text
) returns setof public.idempotency_answer
language sql
stable
security invoker
rows 1
begin atomic
  select
    'replay',
    k.attempt,
    k.fence,
    null::integer,
    k.status_code::integer,
    k.response,
    k.response_encoding,
    k.response_headers,
    null::jsonb,
    k.completed_at
  from public.idempotency_keys as k
  where k.user_id = p_user_id
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.status = 'completed'
    and k.request_fingerprint = p_fingerprint
    and k.expires_at > clock_timestamp();
end;

comment on function public.idempotency_recorded_answer(uuid, text, text, text) is
  'The replay of a user''s completed key, as idempotency_claim answers it; no row where there is none.';

revoke all on function public.idempotency_recorded_answer(uuid, text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_recorded_answer(uuid, text, text, text)
  to authenticated, service_role;
