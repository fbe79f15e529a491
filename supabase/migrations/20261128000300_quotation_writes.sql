-- One call for each thing that is done to a quotation: what belongs together commits together.
--
-- Each takes the id of the request, the same in every attempt: an attempt that comes after one whose
-- answer was lost changes nothing and is given the quotation as it is.

-- A quotation with its lines, as one document.
create function public.quotation_document(p_id uuid) returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select to_jsonb(q) || jsonb_build_object('lines', coalesce(
    (
      select jsonb_agg(to_jsonb(l) order by l.position)
      from public.quotation_lines as l
      where l.user_id = q.user_id and l.quotation_id = q.id
    ),
    '[]'
  ))
  from public.quotations as q
  where q.id = p_id;
$$;

comment on function public.quotation_document(uuid) is 'A quotation with its lines; null where the caller has none with this id.';

create function public.lock_quotation(p_id uuid, p_versions integer[], p_request_id text)
returns public.quotations
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quotation public.quotations;
begin
  -- An attempt at the same request that is still at it is waited for here; what it has done is
  -- then seen below.
  select * into v_quotation from public.quotations as q where q.id = p_id for no key update;

  if not found then
    raise exception 'changing quotation %: there is none', p_id using errcode = 'QT000';
  end if;

  if exists (
    select from public.quotation_history as h
    where h.user_id = v_quotation.user_id and h.request_id = p_request_id and h.quotation_id = p_id
  ) then
    return null;
  end if;

  if v_quotation.archived_at is not null then
    raise exception 'changing quotation %: it is archived, restore it first', p_id using errcode = 'SD001';
  end if;

  if v_quotation.version <> all (p_versions) then
    raise exception 'changing quotation %: it is at version % by now', p_id, v_quotation.version using errcode = 'QT005';
  end if;

  return v_quotation;
end;
$$;

comment on function public.lock_quotation(uuid, integer[], text) is
  'The quotation, held until the end of the transaction; null where this request has changed it before. SQLSTATE QT000: no such quotation; SD001: archived; QT005: another version.';

create function public.write_quotation_lines(p_id uuid, p_lines jsonb) returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.quotation_lines (quotation_id, position, description, quantity, unit_price_minor, tax_basis_points)
  select
    p_id,
    l.position,
    l.line ->> 'description',
    (l.line ->> 'quantity')::numeric,
    (l.line ->> 'unit_price_minor')::bigint,
    coalesce((l.line ->> 'tax_basis_points')::integer, 0)
  from jsonb_array_elements(p_lines) with ordinality as l (line, position);
$$;

comment on function public.write_quotation_lines(uuid, jsonb) is
  'Writes the lines of a quotation that has none: [{description, quantity, unit_price_minor, tax_basis_points}].';

create function public.create_quotation(p_quotation jsonb, p_request_id text) returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_id uuid;
begin
  insert into public.quotations (request_id, customer_name, currency, valid_until)
  values (
    p_request_id,
    p_quotation ->> 'customer_name',
    p_quotation ->> 'currency',
    (p_quotation ->> 'valid_until')::date
  )
  on conflict (user_id, request_id) do nothing
  returning id into v_id;

  if v_id is null then
    select q.id into v_id
    from public.quotations as q
    where q.user_id = (select auth.uid()) and q.request_id = p_request_id;
  else
    perform public.write_quotation_lines(v_id, p_quotation -> 'lines');
  end if;

  return public.quotation_document(v_id);
end;
$$;

comment on function public.create_quotation(jsonb, text) is
  'Makes a draft, once for each request: {customer_name, currency, valid_until, lines}.';

create function public.update_quotation(p_id uuid, p_changes jsonb, p_versions integer[], p_request_id text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quotation constant public.quotations := public.lock_quotation(p_id, p_versions, p_request_id);
begin
  if v_quotation.id is null then
    return public.quotation_document(p_id);
  end if;

  if v_quotation.status <> 'draft' then
    raise exception 'changing quotation %: it is % and no draft any more', p_id, v_quotation.status using errcode = 'QT004';
  end if;

  update public.quotations as q
  set
    customer_name = coalesce(p_changes ->> 'customer_name', q.customer_name),
    currency = coalesce(p_changes ->> 'currency', q.currency),
    valid_until = case when p_changes ? 'valid_until' then (p_changes ->> 'valid_until')::date else q.valid_until end,
    last_request_id = p_request_id
  where q.id = p_id;

  if p_changes ? 'lines' then
    delete from public.quotation_lines as l where l.user_id = v_quotation.user_id and l.quotation_id = p_id;
    perform public.write_quotation_lines(p_id, p_changes -> 'lines');
  end if;

  return public.quotation_document(p_id);
end;
$$;

comment on function public.update_quotation(uuid, jsonb, integer[], text) is
  'Changes those fields of a draft that are named, once for each request. SQLSTATE QT000, SD001, QT004, QT005.';

create function public.change_quotation_status(p_id uuid, p_status text, p_versions integer[], p_request_id text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quotation constant public.quotations := public.lock_quotation(p_id, p_versions, p_request_id);
begin
  if v_quotation.id is null then
    return public.quotation_document(p_id);
  end if;

  -- The trigger lets it stay what it is; to ask for that is a mistake.
  if v_quotation.status = p_status then
    raise exception 'changing the status of quotation %: it is % already', p_id, p_status using errcode = 'QT001';
  end if;

  update public.quotations as q
  set status = p_status, last_request_id = p_request_id
  where q.id = p_id;

  return public.quotation_document(p_id);
end;
$$;

comment on function public.change_quotation_status(uuid, text, integer[], text) is
  'Changes the status of a quotation, once for each request. SQLSTATE QT000, SD001, QT001, QT002, QT003, QT005.';

revoke all on function public.quotation_document(uuid) from public, anon, authenticated, service_role;
revoke all on function public.lock_quotation(uuid, integer[], text) from public, anon, authenticated, service_role;
revoke all on function public.write_quotation_lines(uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.create_quotation(jsonb, text) from public, anon, authenticated, service_role;
revoke all on function public.update_quotation(uuid, jsonb, integer[], text) from public, anon, authenticated, service_role;
revoke all on function public.change_quotation_status(uuid, text, integer[], text)
  from public, anon, authenticated, service_role;
grant execute on function public.quotation_document(uuid) to authenticated, service_role;
grant execute on function public.lock_quotation(uuid, integer[], text) to authenticated;
grant execute on function public.write_quotation_lines(uuid, jsonb) to authenticated;
grant execute on function public.create_quotation(jsonb, text) to authenticated;
grant execute on function public.update_quotation(uuid, jsonb, integer[], text) to authenticated;
grant execute on function public.change_quotation_status(uuid, text, integer[], text) to authenticated;
