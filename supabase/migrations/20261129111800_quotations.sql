-- Quotations: what a user offers to a customer, at what price, and until when.
--
-- Money is in whole minor units of the currency (cents, yen) and every amount is computed here.
-- What may follow what is kept by triggers, so it holds by whatever route a row is written.

create table public.quotations (
  id uuid not null default gen_random_uuid(),
  user_id uuid references auth.users (id) on delete cascade,
  organization_id uuid references public.organizations (id) on delete cascade,
  owner_id uuid not null default auth.uid(),
  request_id text not null default 'idem_' || gen_random_uuid(),
  version integer not null default 1,
  status text not null default 'draft',
  customer_name text not null,
  currency text not null,
  valid_until date,
  net_minor bigint not null default 0,
  tax_minor bigint not null default 0,
  total_minor bigint not null generated always as (net_minor + tax_minor) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint quotations_pkey primary key (id),
  constraint quotations_owner_id_request_id_key unique (owner_id, request_id),
  constraint quotations_belong_to_a_user_or_an_organization check (num_nonnulls(user_id, organization_id) = 1),
  constraint quotations_owner_is_either check (owner_id = coalesce(organization_id, user_id)),
  constraint quotations_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint quotations_version_starts_at_1 check (version >= 1),
  constraint quotations_status_is_known check (status in ('draft', 'sent', 'accepted', 'rejected', 'expired')),
  constraint quotations_customer_name_has_1_to_200_characters check (char_length(customer_name) between 1 and 200),
  constraint quotations_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$'),
  constraint quotations_valid_until_has_four_digits_of_year check (valid_until between '2000-01-01' and '9999-12-31'),
  constraint quotations_amounts_are_not_negative check (net_minor >= 0 and tax_minor >= 0)
);

comment on table public.quotations is
  'Offers of a user, or of an organisation, to a customer. Amounts are in minor units of the currency.';
comment on column public.quotations.organization_id is 'Whose members share it; null: it is its author''s own.';
comment on column public.quotations.request_id is
  'The request that made it: the same for every attempt, so that all of them find one quotation.';
comment on column public.quotations.version is 'Counted up at every change: whoever changes it names the one they saw.';
comment on column public.quotations.valid_until is 'The last day, in UTC, on which it can be accepted; null: no last day.';
comment on column public.quotations.net_minor is 'The sum of the lines'' net amounts, kept by a trigger on them.';

create table public.quotation_lines (
  quotation_id uuid not null,
  position smallint not null,
  description text not null,
  quantity numeric(10, 3) not null,
  unit_price_minor bigint not null,
  tax_basis_points integer not null default 0,
  -- round() of numeric goes half away from zero. Each line is rounded by itself, and its tax from
  -- the rounded net: the amounts on the paper then add up to the total on the paper.
  net_minor bigint not null generated always as (round(quantity * unit_price_minor)::bigint) stored,
  tax_minor bigint not null
    generated always as (round(round(quantity * unit_price_minor) * tax_basis_points / 10000)::bigint) stored,
  constraint quotation_lines_pkey primary key (quotation_id, position),
  constraint quotation_lines_quotation_fkey foreign key (quotation_id)
    references public.quotations (id) on delete cascade,
  constraint quotation_lines_position_is_1_to_100 check (position between 1 and 100),
  constraint quotation_lines_description_has_1_to_200_characters check (char_length(description) between 1 and 200),
  constraint quotation_lines_quantity_is_positive check (quantity > 0),
  constraint quotation_lines_unit_price_is_not_negative check (unit_price_minor between 0 and 1000000000000),
  -- A hundred lines of this with as much tax again stay under 2^53, which JavaScript counts exactly.
  constraint quotation_lines_net_is_at_most_10_trillion check (quantity * unit_price_minor <= 10000000000000),
  constraint quotation_lines_tax_is_0_to_100_percent check (tax_basis_points between 0 and 10000)
);

comment on table public.quotation_lines is 'What a quotation offers, line by line.';
comment on column public.quotation_lines.tax_basis_points is 'Hundredths of a percent: 1900 is 19 %.';

-- No foreign key to the quotation: that it was deleted belongs to its history.
create table public.quotation_history (
  id bigint generated always as identity,
  user_id uuid references auth.users (id) on delete cascade,
  organization_id uuid references public.organizations (id) on delete cascade,
  owner_id uuid not null generated always as (coalesce(organization_id, user_id)) stored,
  quotation_id uuid not null,
  action text not null,
  from_status text,
  to_status text,
  version integer not null,
  changed_by uuid,
  changed_at timestamptz not null default now(),
  request_id text,
  constraint quotation_history_pkey primary key (id),
  constraint quotation_history_owner_id_request_id_key unique (owner_id, request_id),
  constraint quotation_history_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint quotation_history_action_is_known
    check (action in ('created', 'updated', 'status_changed', 'archived', 'restored', 'deleted'))
);

comment on table public.quotation_history is
  'The audit trail of quotations: written by triggers and by nothing else, changed by nobody.';
comment on column public.quotation_history.changed_by is 'Who did it; null: the project itself, with the secret key.';
comment on column public.quotation_history.request_id is
  'The same for every attempt at one request: a change whose answer was lost is found here and not made again.';

create index quotation_history_owner_id_quotation_id_idx on public.quotation_history (owner_id, quotation_id, id);
-- Where an account or an organisation ends, what was theirs is looked for.
create index quotations_user_id_idx on public.quotations (user_id);
create index quotations_organization_id_idx on public.quotations (organization_id);
create index quotation_history_user_id_idx on public.quotation_history (user_id);
create index quotation_history_organization_id_idx on public.quotation_history (organization_id);

create trigger quotations_belong_to_their_author
  before insert on public.quotations
  for each row execute function public.row_belongs_to_its_author();

-- A request is the same one for ever: its quotation may be archived, and is not made again.
select public.enable_soft_delete(
  'public.quotations',
  p_list_columns => array['owner_id', 'created_at', 'id'],
  p_unique_for_ever => array['quotations_owner_id_request_id_key']
);

alter table public.quotations enable row level security;
alter table public.quotation_lines enable row level security;
alter table public.quotation_history enable row level security;

create policy quotations_select_as_owner on public.quotations
  for select to authenticated using (owner_id in (select public.my_owner_ids()));
create policy quotations_insert_as_owner on public.quotations
  for insert to authenticated with check (owner_id in (select public.my_owner_ids()));
create policy quotations_update_as_owner on public.quotations
  for update to authenticated
  using (owner_id in (select public.my_owner_ids())) with check (owner_id in (select public.my_owner_ids()));

-- The lines of those that the caller sees.
create policy quotation_lines_select_with_quotation on public.quotation_lines
  for select to authenticated using (exists (select from public.quotations as q where q.id = quotation_id));
create policy quotation_lines_insert_with_quotation on public.quotation_lines
  for insert to authenticated with check (exists (select from public.quotations as q where q.id = quotation_id));
create policy quotation_lines_delete_with_quotation on public.quotation_lines
  for delete to authenticated using (exists (select from public.quotations as q where q.id = quotation_id));

create policy quotation_history_select_as_owner on public.quotation_history
  for select to authenticated using (owner_id in (select public.my_owner_ids()));

revoke all on public.quotations, public.quotation_lines, public.quotation_history
  from public, anon, authenticated, service_role;
revoke all on sequence public.quotation_history_id_seq from public, anon, authenticated, service_role;
grant select, insert (organization_id, request_id, customer_name, currency, valid_until),
  update (status, customer_name, currency, valid_until, archived_at)
  on public.quotations to authenticated;
grant select, insert (quotation_id, position, description, quantity, unit_price_minor, tax_basis_points), delete
  on public.quotation_lines to authenticated;
grant select on public.quotation_history to authenticated, service_role;
-- Totals and versions follow from the rest, for the service role too.
grant select, insert (user_id, organization_id, request_id, customer_name, currency, valid_until),
  update (status, customer_name, currency, valid_until, archived_at), delete
  on public.quotations to service_role;
grant select, insert (quotation_id, position, description, quantity, unit_price_minor, tax_basis_points), delete
  on public.quotation_lines to service_role;

-- What a quotation may become, what may still be changed, and what is written down about it.

create function public.quotation_may_become(p_from text, p_to text) returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  select (p_from, p_to) in (
    ('draft', 'sent'),
    ('sent', 'accepted'),
    ('sent', 'rejected'),
    ('sent', 'expired')
  );
$$;

comment on function public.quotation_may_become(text, text) is 'Whether a quotation may go from one status to another.';

create function public.quotations_keep_rules() returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_today constant date := (now() at time zone 'utc')::date;
begin
  if new.status <> old.status then
    if not public.quotation_may_become(old.status, new.status) then
      raise exception 'changing the status of quotation %: it is %, from which it cannot become %', old.id, old.status, new.status
        using errcode = 'QT001';
    end if;

    if new.status in ('sent', 'accepted') and new.valid_until < v_today then
      raise exception 'changing the status of quotation % to %: it was valid until %', old.id, new.status, new.valid_until
        using errcode = 'QT002';
    end if;

    if new.status = 'sent'
      and not exists (select from public.quotation_lines as l where l.quotation_id = new.id)
    then
      raise exception 'sending quotation %: it has no lines', old.id using errcode = 'QT003';
    end if;
  end if;

  -- What the customer was sent is what they accept.
  if old.status <> 'draft'
    and (new.customer_name, new.currency, new.valid_until) is distinct from (old.customer_name, old.currency, old.valid_until)
  then
    raise exception 'changing quotation %: it is % and no draft any more', old.id, old.status using errcode = 'QT004';
  end if;

  -- Deeper down it is the lines' trigger, which counts for itself.
  if pg_trigger_depth() = 1 then
    new.version := old.version + 1;
  end if;

  new.updated_at := now();
  return new;
end;
$$;

comment on function public.quotations_keep_rules() is
  'SQLSTATE QT001: no such transition; QT002: no longer valid; QT003: no lines; QT004: no draft any more.';

create trigger quotations_keep_rules
  before update on public.quotations
  for each row execute function public.quotations_keep_rules();

-- Lines change with their draft only, and take its totals and version along. They are written anew
-- rather than updated, which nobody is granted.
--
-- security definer: nobody may write totals themselves. The quotations are those of the lines,
-- which row level security and the foreign key have let through.
create function public.quotation_lines_sum_up() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_quotation record;
begin
  -- The lock makes a quotation that is being sent at this moment wait for these lines, or these
  -- lines see that it was sent. In the order of ids, and not on the key, which the foreign key of
  -- each line holds already: so two of these wait for each other and never deadlock.
  for v_quotation in
    select q.id, q.status, q.archived_at
    from public.quotations as q
    where q.id in (select c.quotation_id from changed as c)
    order by q.id
    for no key update
  loop
    if v_quotation.archived_at is not null then
      raise exception 'changing the lines of quotation %: it is archived, restore it first', v_quotation.id
        using errcode = 'SD001';
    end if;

    if v_quotation.status <> 'draft' then
      raise exception 'changing the lines of quotation %: it is % and no draft any more', v_quotation.id, v_quotation.status
        using errcode = 'QT004';
    end if;
  end loop;

  update public.quotations as q
  set
    net_minor = coalesce(s.net_minor, 0),
    tax_minor = coalesce(s.tax_minor, 0),
    -- One change, one version: whoever has written the quotation in this transaction has counted.
    version = q.version + case when q.xmin = pg_current_xact_id()::xid then 0 else 1 end
  from (select distinct c.quotation_id from changed as c) as c
  left join lateral (
    select sum(l.net_minor) as net_minor, sum(l.tax_minor) as tax_minor
    from public.quotation_lines as l
    where l.quotation_id = c.quotation_id
  ) as s on true
  where q.id = c.quotation_id;

  return null;
end;
$$;

comment on function public.quotation_lines_sum_up() is
  'Keeps totals and version of the quotations whose lines changed. SQLSTATE QT004: no draft any more; SD001: archived.';

create trigger quotation_lines_sum_up_inserted
  after insert on public.quotation_lines
  referencing new table as changed
  for each statement execute function public.quotation_lines_sum_up();
create trigger quotation_lines_sum_up_deleted
  after delete on public.quotation_lines
  referencing old table as changed
  for each statement execute function public.quotation_lines_sum_up();

-- security definer: the audit trail can be written by nobody, and so by this alone.
create function public.quotations_write_history() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    -- Whose quotations they were may be gone, and history with them; then there is nothing to write.
    insert into public.quotation_history (
      user_id, organization_id, quotation_id, action, from_status, version, changed_by
    )
    select old.user_id, old.organization_id, old.id, 'deleted', old.status, old.version, auth.uid()
    where exists (select from auth.users as u where u.id = old.user_id)
      or exists (select from public.organizations as o where o.id = old.organization_id);

    return null;
  end if;

  if tg_op = 'INSERT' then
    insert into public.quotation_history (
      user_id, organization_id, quotation_id, action, to_status, version, changed_by, request_id
    )
    values (new.user_id, new.organization_id, new.id, 'created', new.status, new.version, auth.uid(), new.request_id);

    return null;
  end if;

  insert into public.quotation_history (
    user_id, organization_id, quotation_id, action, from_status, to_status, version, changed_by, request_id
  )
  values (
    new.user_id,
    new.organization_id,
    new.id,
    case
      when new.status <> old.status then 'status_changed'
      when new.archived_at is not null and old.archived_at is null then 'archived'
      when new.archived_at is null and old.archived_at is not null then 'restored'
      else 'updated'
    end,
    old.status,
    new.status,
    new.version,
    auth.uid(),
    nullif(current_setting('quotation.request', true), '')
  );

  -- A request makes one change. What else comes in this transaction is none of its.
  perform set_config('quotation.request', '', true);

  -- Both can be asked for in one update, past the functions.
  if new.status <> old.status and new.archived_at is not null and old.archived_at is null then
    insert into public.quotation_history (
      user_id, organization_id, quotation_id, action, from_status, to_status, version, changed_by
    )
    values (new.user_id, new.organization_id, new.id, 'archived', new.status, new.status, new.version, auth.uid());
  end if;

  return null;
end;
$$;

comment on function public.quotations_write_history() is 'Writes the audit trail of quotations.';

create trigger quotations_write_history
  after insert or delete on public.quotations
  for each row execute function public.quotations_write_history();
-- Totals that follow their lines within one change are no change of their own.
create trigger quotations_write_history_of_changes
  after update on public.quotations
  for each row when (new.version <> old.version)
  execute function public.quotations_write_history();

revoke all on function public.quotation_may_become(text, text) from public, anon, authenticated, service_role;
revoke all on function public.quotations_keep_rules() from public, anon, authenticated, service_role;
revoke all on function public.quotation_lines_sum_up() from public, anon, authenticated, service_role;
revoke all on function public.quotations_write_history() from public, anon, authenticated, service_role;
grant execute on function public.quotation_may_become(text, text) to authenticated, service_role;

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
      where l.quotation_id = q.id
    ),
    '[]'
  ))
  from public.quotations as q
  where q.id = p_id;
$$;

comment on function public.quotation_document(uuid) is 'A quotation with its lines; null where the caller has none with this id.';

create function public.hold_quotation(p_id uuid, p_request_id text) returns public.quotations
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quotation public.quotations;
begin
  -- That it is archived is told apart from that there is none.
  perform set_config('archive.included', 'true', true);

  perform public.require_membership(q.organization_id) from public.quotations as q where q.id = p_id;

  -- An attempt at the same request that is still at it is waited for here; what it has done is
  -- then seen.
  select * into v_quotation from public.quotations as q where q.id = p_id for no key update;

  if not found then
    raise exception 'changing quotation %: there is none', p_id using errcode = 'QT000';
  end if;

  if exists (
    select from public.quotation_history as h
    where h.owner_id = v_quotation.owner_id and h.request_id = p_request_id and h.quotation_id = p_id
  ) then
    return null;
  end if;

  return v_quotation;
end;
$$;

comment on function public.hold_quotation(uuid, text) is
  'The quotation, archived or not, held until the end of the transaction; null where this request has changed it before. SQLSTATE QT000: no such quotation.';

create function public.lock_quotation(p_id uuid, p_versions integer[], p_request_id text)
returns public.quotations
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quotation constant public.quotations := public.hold_quotation(p_id, p_request_id);
begin
  if v_quotation.id is null then
    return null;
  end if;

  if v_quotation.archived_at is not null then
    raise exception 'changing quotation %: it is archived, restore it first', p_id using errcode = 'SD001';
  end if;

  if v_quotation.version <> all (p_versions) then
    raise exception 'changing quotation %: it is at version % by now', p_id, v_quotation.version using errcode = 'QT005';
  end if;

  -- for the audit trail
  perform set_config('quotation.request', p_request_id, true);
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

create function public.create_quotation(p_quotation jsonb, p_request_id text, p_organization_id uuid default null)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_id uuid;
begin
  perform public.require_membership(p_organization_id);
  -- A request that made one which is archived by now is answered with it.
  perform set_config('archive.included', 'true', true);

  insert into public.quotations (organization_id, request_id, customer_name, currency, valid_until)
  values (
    p_organization_id,
    p_request_id,
    p_quotation ->> 'customer_name',
    p_quotation ->> 'currency',
    (p_quotation ->> 'valid_until')::date
  )
  on conflict (owner_id, request_id) do nothing
  returning id into v_id;

  if v_id is null then
    select q.id into v_id
    from public.quotations as q
    where q.owner_id = coalesce(p_organization_id, (select auth.uid())) and q.request_id = p_request_id;
  else
    perform public.write_quotation_lines(v_id, p_quotation -> 'lines');
  end if;

  return public.quotation_document(v_id);
end;
$$;

comment on function public.create_quotation(jsonb, text, uuid) is
  'Makes a draft, once for each request: {customer_name, currency, valid_until, lines}. SQLSTATE OR001: no such organisation.';

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
    valid_until = case when p_changes ? 'valid_until' then (p_changes ->> 'valid_until')::date else q.valid_until end
  where q.id = p_id;

  if p_changes ? 'lines' then
    delete from public.quotation_lines as l where l.quotation_id = p_id;
    perform public.write_quotation_lines(p_id, p_changes -> 'lines');
  end if;

  return public.quotation_document(p_id);
end;
$$;

comment on function public.update_quotation(uuid, jsonb, integer[], text) is
  'Changes those fields of a draft that are named, once for each request. SQLSTATE QT000, SD001, QT004, QT005.';

create function public.change_quotation_status(
  p_id uuid, p_status text, p_versions integer[], p_request_id text, p_organization_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quotation constant public.quotations := public.lock_quotation(p_id, p_versions, p_request_id);
begin
  -- Who acts for an organisation shares key and answer with colleagues, who may see nothing else of
  -- the caller's.
  if p_organization_id is not null
    and not exists (select from public.quotations as q where q.id = p_id and q.organization_id = p_organization_id)
  then
    raise exception 'changing the status of quotation %: organisation % has none such', p_id, p_organization_id
      using errcode = 'QT000';
  end if;

  if v_quotation.id is null then
    return public.quotation_document(p_id);
  end if;

  -- The trigger lets it stay what it is; to ask for that is a mistake.
  if v_quotation.status = p_status then
    raise exception 'changing the status of quotation %: it is % already', p_id, p_status using errcode = 'QT001';
  end if;

  update public.quotations as q
  set status = p_status
  where q.id = p_id;

  return public.quotation_document(p_id);
end;
$$;

comment on function public.change_quotation_status(uuid, text, integer[], text, uuid) is
  'Changes the status of a quotation, of an organisation''s where one is named, once for each request. SQLSTATE QT000, SD001, QT001, QT002, QT003, QT005.';

create function public.archive_quotation(p_id uuid, p_archived boolean, p_versions integer[], p_request_id text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_quotation constant public.quotations := public.hold_quotation(p_id, p_request_id);
begin
  if v_quotation.id is null or (v_quotation.archived_at is not null) = p_archived then
    return public.quotation_document(p_id);
  end if;

  if v_quotation.version <> all (p_versions) then
    raise exception 'archiving or restoring quotation %: it is at version % by now', p_id, v_quotation.version
      using errcode = 'QT005';
  end if;

  perform set_config('quotation.request', p_request_id, true);

  update public.quotations as q
  set archived_at = case when p_archived then now() end
  where q.id = p_id;

  return public.quotation_document(p_id);
end;
$$;

comment on function public.archive_quotation(uuid, boolean, integer[], text) is
  'Archives a quotation or restores it, once for each request; one that is so already stays as it is. SQLSTATE QT000, QT005.';

revoke all on function public.archive_quotation(uuid, boolean, integer[], text) from public, anon, authenticated, service_role;
revoke all on function public.quotation_document(uuid) from public, anon, authenticated, service_role;
revoke all on function public.hold_quotation(uuid, text) from public, anon, authenticated, service_role;
revoke all on function public.lock_quotation(uuid, integer[], text) from public, anon, authenticated, service_role;
revoke all on function public.write_quotation_lines(uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.create_quotation(jsonb, text, uuid) from public, anon, authenticated, service_role;
revoke all on function public.update_quotation(uuid, jsonb, integer[], text) from public, anon, authenticated, service_role;
revoke all on function public.change_quotation_status(uuid, text, integer[], text, uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.archive_quotation(uuid, boolean, integer[], text) to authenticated;
grant execute on function public.quotation_document(uuid) to authenticated, service_role;
grant execute on function public.hold_quotation(uuid, text) to authenticated;
grant execute on function public.lock_quotation(uuid, integer[], text) to authenticated;
grant execute on function public.write_quotation_lines(uuid, jsonb) to authenticated;
grant execute on function public.create_quotation(jsonb, text, uuid) to authenticated;
grant execute on function public.update_quotation(uuid, jsonb, integer[], text) to authenticated;
grant execute on function public.change_quotation_status(uuid, text, integer[], text, uuid) to authenticated;
