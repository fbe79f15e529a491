create function public.get_idempotency_status(
  p_idempotency_key text,
  p_scope text default null,
  p_user_id uuid default null
) returns table (
  user_id uuid,
  scope text,
  idempotency_key text,
  status text,
  attempt integer,
  fence bigint,
  is_stuck boolean,
  is_expired boolean,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  error_message text,
  metadata jsonb,
  created_at timestamptz,
  claimed_at timestamptz,
  lease_expires_at timestamptz,
  completed_at timestamptz,
  expires_at timestamptz,
  -- by name, not in the order they ended: jsonb does not keep that
  finished_steps text[]
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_user_id uuid := p_user_id;
begin
  if current_setting('role') <> 'service_role' and not public.idempotency_trusts_caller() then
    v_user_id := public.idempotency_signed_in_user(p_user_id);
  end if;

  return query
  select
    k.user_id, k.scope, k.idempotency_key, k.status, k.attempt, k.fence,
    coalesce(k.lease_expires_at <= clock_timestamp(), false), k.expires_at <= clock_timestamp(),
    k.status_code::integer, k.response, k.response_encoding, k.response_headers, k.error_message, k.metadata,
    k.created_at, k.claimed_at, k.lease_expires_at, k.completed_at, k.expires_at,
    array(select step from jsonb_object_keys(k.steps) as step order by step collate "C")
  from public.idempotency_keys as k
  where (k.user_id = v_user_id or (v_user_id is null and k.user_id is null))
    and k.idempotency_key = p_idempotency_key
    and (p_scope is null or k.scope = p_scope)
  order by k.scope;
end;
$$;

comment on function public.get_idempotency_status(text, text, uuid) is
  'How a key of the caller, or for the service role of the named user, stands in one scope or in all.';

revoke all on function public.get_idempotency_status(text, text, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.get_idempotency_status(text, text, uuid)
  to authenticated, service_role;
