-- Who is calling. Inside a security definer function current_user is the function's owner, so
-- the decision rests on what the caller cannot forge: the role the session switched to, or the
-- role it logged in as. Whoever is not known to be trusted is taken for a signed-in user.

create function public.idempotency_trusts_caller() returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- 'none': no set role in this session
  v_role name := coalesce(nullif(current_setting('role'), 'none'), session_user);
begin
  -- usage, not member: authenticator may switch to service_role, but is not it until it does
  return v_role = 'service_role'
    or pg_has_role(v_role, current_user, 'usage')
    or pg_has_role(v_role, 'service_role', 'usage');
end;
$$;

comment on function public.idempotency_trusts_caller() is
  'Whether the caller may act for any user and for the project: the service role, the owner, and whoever inherits from them.';

create function public.idempotency_signed_in_user(p_user_id uuid) returns uuid
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid := auth.uid();
begin
  if v_user_id is null then
    raise exception 'idempotency: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token, or call with the service role.';
  end if;

  if p_user_id <> v_user_id then
    raise exception 'idempotency: user % may not act for user %', v_user_id, p_user_id
      using errcode = '42501', hint = 'Leave p_user_id null to act for yourself.';
  end if;

  return v_user_id;
end;
$$;

comment on function public.idempotency_signed_in_user(uuid) is
  'The user behind an untrusted call; naming anybody else is refused.';

-- The functions that use these run as the owner; nobody else has to call them.
revoke all on function public.idempotency_trusts_caller() from public, anon, authenticated, service_role;
revoke all on function public.idempotency_signed_in_user(uuid) from public, anon, authenticated, service_role;
