-- How an operation of the point of sale says no.
--
-- PT and an HTTP status is what PostgREST makes that status of; the problem document goes along as
-- the error's detail. pos_perform records those with PT422 and lets the others roll everything back.
create function public.pos_refuse(
  p_status integer,
  p_code text,
  p_title text,
  p_detail text,
  p_extensions jsonb default '{}'
) returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PT' || p_status,
    message = p_detail,
    detail = jsonb_build_object('status', p_status, 'code', p_code, 'title', p_title, 'extensions', p_extensions)::text;
end;
$$;

comment on function public.pos_refuse(integer, text, text, text, jsonb) is
  'Raises a refusal as SQLSTATE PT and its HTTP status, with the rest of its problem document as the detail.';

revoke all on function public.pos_refuse(integer, text, text, text, jsonb)
  from public, anon, authenticated, service_role;
