-- How a key stands, for the users that it belongs to and for the team.

create function public.get_idempotency_status(
  p_idempotency_key text,
  p_scope text default null,
  -- whose key, for the service role; '' is the project itself
  p_owner text default ''
) returns table (
  scope text,
  idempotency_key text,
  status text,
  attempt integer,
  is_stuck boolean,
  is_expired boolean,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  created_at timestamptz,
  claimed_at timestamptz,
  completed_at timestamptz,
  expires_at timestamptz,
  -- for the team; null where a signed-in user asks
  error_message text,
  metadata jsonb,
  -- by name, not in the order they ended: jsonb does not keep that
  finished_steps text[]
)
language plpgsql
stable
security definer
set search_path = ''
-- the plan for any scope or none reads all keys of an owner, and the project may have millions
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- Inside a security definer function current_user is the function's owner, so this rests on what the
  -- caller cannot forge: the role that the session switched to, or logged in as.
  v_role constant name := coalesce(nullif(current_setting('role'), 'none'), session_user);
  -- usage, not member: authenticator may switch to service_role, but is not it until it does
  v_is_team constant boolean := v_role = 'service_role'
    or pg_has_role(v_role, current_user, 'usage')
    or pg_has_role(v_role, 'service_role', 'usage');
  v_owner constant text := case when v_is_team then p_owner else idempotency.signed_in_owner() end;
begin
  if v_owner is null then
    raise exception 'reading the status of an idempotency key: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token, or call with the service role and p_owner.';
  end if;

  return query
  select
    k.scope::text, k.idempotency_key::text, k.status::text, k.attempt::integer,
    coalesce(k.lease_expires_at <= clock_timestamp(), false), k.expires_at <= clock_timestamp(),
    k.status_code::integer, k.response::text, k.response_encoding::text, k.response_headers::jsonb,
    k.created_at, k.claimed_at, k.completed_at, k.expires_at,
    case when v_is_team then k.error_message::text end,
    case when v_is_team then k.metadata::jsonb end,
    case when v_is_team then
      array(select step from jsonb_object_keys(k.steps) as step order by step collate "C")
    end
  from public.idempotency_keys as k
  where k.owner = v_owner
    and k.idempotency_key = p_idempotency_key
    and (p_scope is null or k.scope = p_scope)
  order by k.scope;
end;
$$;

comment on function public.get_idempotency_status(text, text, text) is
  'How a key of the caller, or for the service role of the named owner, stands in one scope or in all.';

revoke all on function public.get_idempotency_status(text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.get_idempotency_status(text, text, text)
  to authenticated, service_role;

-- Telling a user's clients that a run which went on in the background has ended. Called after the
-- completion, never by it: no trigger, so completing costs the same whether anybody listens or not.
create function public.idempotency_notify(
  p_owner text,
  p_scope text,
  p_idempotency_key text
) returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_status text;
  v_status_code smallint;
  v_send regprocedure;
begin
  -- the project's own keys have nobody whose channel it could be
  if p_owner = '' then
    return 'none';
  end if;

  select k.status, k.status_code into v_status, v_status_code
  from public.idempotency_keys as k
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

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
      'idempotency:' || p_owner;
  exception when others then
    raise warning 'telling clients of idempotency key %: realtime.send failed: %', p_idempotency_key, sqlerrm;
    return 'none';
  end;

  return 'realtime';
end;
$$;

comment on function public.idempotency_notify(text, text, text) is
  'Broadcasts on the private channel idempotency:<owner> that a key is completed or failed: realtime, or none where nothing was sent.';

revoke all on function public.idempotency_notify(text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_notify(text, text, text) to service_role;
