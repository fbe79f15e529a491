-- Telling a user's clients that a run which went on in the background has ended. Called after the
-- completion, never by it: no trigger, so completing costs the same whether anybody listens or not.

create function public.idempotency_notify(
  p_user_id uuid,
  p_scope text,
  p_idempotency_key text
) returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := p_user_id;
  v_status text;
  v_status_code smallint;
  v_send regprocedure;
begin
  if current_setting('role') <> 'service_role' and not public.idempotency_trusts_caller() then
    v_user_id := public.idempotency_signed_in_user(p_user_id);
  end if;

  -- the project's own keys have nobody whose channel it could be
  if v_user_id is null then
    return 'none';
  end if;

  select k.status, k.status_code into v_status, v_status_code
  from public.idempotency_keys as k
  where k.user_id = v_user_id and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  -- What is told is what the row says: a caller cannot announce an end that has not come.
  if coalesce(v_status, 'processing') = 'processing' then
    return 'none';
  end if;

  -- A message is a courtesy. The run has ended and its status can be asked for; Realtime being
  -- absent, in another version or out of order must not look like a failure of the run.
  begin
    v_send := to_regprocedure('realtime.send(jsonb, text, text, boolean)');
    if v_send is null then
      return 'none';
    end if;

    -- By what was found, not by name: db lint refuses a name that is not there. Never the body: a
    -- message goes to all of the user's clients, the answer to those that ask for it.
    execute format('select %s($1, $2, $3, true)', v_send::regproc)
    using
      jsonb_build_object(
        'key', p_idempotency_key, 'scope', p_scope, 'status', v_status, 'status_code', v_status_code
      ),
      v_status,
      'idempotency:' || v_user_id;
  exception when others then
    raise warning 'telling clients of idempotency key %: realtime.send failed: %', p_idempotency_key, sqlerrm;
    return 'none';
  end;

  return 'realtime';
end;
$$;

comment on function public.idempotency_notify(uuid, text, text) is
  'Broadcasts on the private channel idempotency:<user id> that a key is completed or failed: realtime, or none where nothing was sent.';

revoke all on function public.idempotency_notify(uuid, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_notify(uuid, text, text) to authenticated, service_role;
