-- The resources of a travel agency: whom it sells to, what it buys, what it owes.
--
-- Each is a table with columns of its own. What all have (whose a row is, its version, soft delete,
-- row level security, the audit trail) is added to each by one function, which the end of this file
-- takes away. Money is in whole minor units of a currency.

-- The audit trail. No foreign key to the rows: that one was deleted belongs to it.
create table public.crm_audit (
  id bigint generated always as identity,
  user_id uuid references auth.users (id) on delete cascade,
  organization_id uuid references public.organizations (id) on delete cascade,
  owner_id uuid not null generated always as (coalesce(organization_id, user_id)) stored,
  resource text not null,
  row_id uuid not null,
  action text not null,
  version integer not null,
  changes jsonb not null,
  changed_by uuid,
  changed_at timestamptz not null default now(),
  request_id text,
  idempotency_key text,
  http_method text,
  route text,
  constraint crm_audit_pkey primary key (id),
  constraint crm_audit_owner_id_request_id_key unique (owner_id, request_id),
  constraint crm_audit_action_is_known check (action in ('created', 'updated', 'archived', 'restored', 'deleted')),
  -- What the caller says: whoever reads the trail is sent all of it.
  constraint crm_audit_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint crm_audit_request_has_at_most_256_characters_each
    check (greatest(char_length(idempotency_key), char_length(http_method), char_length(route)) <= 256)
);

comment on table public.crm_audit is
  'Who changed what, when and by which request: written by triggers and by nothing else, changed by nobody. It outlives the keys.';
comment on column public.crm_audit.changes is 'Each column that changed, with what it says since: {"status": "confirmed"}.';
comment on column public.crm_audit.changed_by is 'Who did it; null: the project itself, with the secret key.';
comment on column public.crm_audit.request_id is
  'The same for every attempt at one request: a change whose answer was lost is found here and not made again.';
comment on column public.crm_audit.idempotency_key is 'The key that the request came with; the ledger forgets it, this does not.';

create index crm_audit_owner_id_resource_row_id_idx on public.crm_audit (owner_id, resource, row_id, id);
create index crm_audit_user_id_idx on public.crm_audit (user_id);
create index crm_audit_organization_id_idx on public.crm_audit (organization_id);

alter table public.crm_audit enable row level security;

create policy crm_audit_select_as_owner on public.crm_audit
  for select to authenticated using (owner_id in (select public.my_owner_ids()));

revoke all on public.crm_audit from public, anon, authenticated, service_role;
revoke all on sequence public.crm_audit_id_seq from public, anon, authenticated, service_role;
grant select on public.crm_audit to authenticated, service_role;
-- Trails that are older than a team has to keep them.
grant delete on public.crm_audit to service_role;

-- security definer: the audit trail can be written by nobody, and so by this alone.
create function public.crm_write_audit() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_new constant jsonb := case when tg_op = 'DELETE' then '{}' else to_jsonb(new) end;
  v_old constant jsonb := case when tg_op = 'INSERT' then '{}' else to_jsonb(old) end;
  v_row constant jsonb := v_old || v_new;
  v_request constant jsonb := coalesce(nullif(current_setting('crm.request', true), '')::jsonb, '{}');
begin
  -- Whose it was may be gone, and the trail with them; then there is nothing to write.
  insert into public.crm_audit (
    user_id, organization_id, resource, row_id, action, version, changes, changed_by,
    request_id, idempotency_key, http_method, route
  )
  select
    (v_row ->> 'user_id')::uuid,
    (v_row ->> 'organization_id')::uuid,
    substr(tg_table_name, char_length('crm_') + 1),
    (v_row ->> 'id')::uuid,
    case
      when tg_op = 'INSERT' then 'created'
      when tg_op = 'DELETE' then 'deleted'
      when v_new ->> 'archived_at' is not null and v_old ->> 'archived_at' is null then 'archived'
      when v_new ->> 'archived_at' is null and v_old ->> 'archived_at' is not null then 'restored'
      else 'updated'
    end,
    (v_row ->> 'version')::integer,
    coalesce(
      (
        select jsonb_object_agg(n.key, n.value)
        from jsonb_each(v_new) as n
        where n.value is distinct from v_old -> n.key
          and n.key not in ('id', 'user_id', 'organization_id', 'owner_id', 'request_id', 'version', 'created_at', 'updated_at')
      ),
      '{}'
    ),
    auth.uid(),
    v_request ->> 'id',
    v_request ->> 'key',
    v_request ->> 'method',
    v_request ->> 'route'
  where exists (select from auth.users as u where u.id = (v_row ->> 'user_id')::uuid)
    or exists (select from public.organizations as o where o.id = (v_row ->> 'organization_id')::uuid);

  return null;
end;
$$;

comment on function public.crm_write_audit() is 'Writes the audit trail of the resources.';

create function public.crm_keep_rules() returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_column text;
begin
  if tg_nargs > 0 then
    if new.status <> old.status and not coalesce((tg_argv[0]::jsonb -> old.status) ? new.status, false) then
      raise exception 'changing %: from % it cannot become %', tg_table_name, old.status, new.status
        using errcode = 'CR001', detail = format('%s to %s', old.status, new.status);
    end if;

    -- What somebody has agreed to is not another sum, or another's, afterwards.
    if old.status <> tg_argv[1] then
      foreach v_column in array tg_argv[2:] loop
        if to_jsonb(new) -> v_column is distinct from to_jsonb(old) -> v_column then
          raise exception 'changing %: % is what was %', tg_table_name, v_column, old.status
            using
              errcode = 'check_violation',
              constraint = format('%s_%s_is_what_was_%s', tg_table_name, v_column, old.status);
        end if;
      end loop;
    end if;
  end if;

  new.version := old.version + 1;
  new.updated_at := now();
  return new;
end;
$$;

comment on function public.crm_keep_rules() is
  'Counts versions, and lets a status become what the trigger''s first argument says: {"draft": ["issued"]}. SQLSTATE CR001: no such transition. Columns from the third on change in the status of the second alone.';

revoke all on function public.crm_write_audit() from public, anon, authenticated, service_role;
revoke all on function public.crm_keep_rules() from public, anon, authenticated, service_role;

-- Makes a resource of a table that has the columns of its own.
--
-- p_references: {"client_id": "clients"}, rows of the same owner; p_unique: columns whose values are
-- unique among an owner's rows in use; p_numbers: among all of them, for ever; p_transitions: what a
-- status may become; p_condition: which rows may be archived; p_kept: columns that nobody writes;
-- p_settled: {draft, number}, the status in which alone the columns after it may change.
create function public.crm_make_resource(
  p_table regclass,
  p_references jsonb default '{}',
  p_unique text[] default '{}',
  p_numbers text[] default '{}',
  p_transitions jsonb default null,
  p_condition text default null,
  p_kept text[] default '{}',
  p_settled text[] default '{}'
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_name constant text := (select c.relname from pg_catalog.pg_class as c where c.oid = p_table);
  v_columns text;
  v_column text;
  v_target text;
begin
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum) into v_columns
  from pg_catalog.pg_attribute as a
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and a.attname <> all (p_kept);

  execute replace(
    $sql$
    alter table public.%1
      add column id uuid not null default gen_random_uuid(),
      add column user_id uuid,
      add column organization_id uuid,
      add column owner_id uuid not null default auth.uid(),
      add column request_id text not null default 'idem_' || gen_random_uuid(),
      add column version integer not null default 1,
      add column created_at timestamptz not null default now(),
      add column updated_at timestamptz not null default now(),
      add constraint %1_pkey primary key (id),
      add constraint %1_owner_id_id_key unique (owner_id, id),
      add constraint %1_owner_id_request_id_key unique (owner_id, request_id),
      add constraint %1_user_fkey foreign key (user_id) references auth.users (id) on delete cascade,
      add constraint %1_organization_fkey
        foreign key (organization_id) references public.organizations (id) on delete cascade,
      add constraint %1_belong_to_a_user_or_an_organization check (num_nonnulls(user_id, organization_id) = 1),
      add constraint %1_owner_is_either check (owner_id = coalesce(organization_id, user_id)),
      add constraint %1_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
      add constraint %1_version_starts_at_1 check (version >= 1);

    create index %1_user_id_idx on public.%1 (user_id);
    create index %1_organization_id_idx on public.%1 (organization_id);

    create trigger crm_belong_to_their_author
      before insert on public.%1 for each row execute function public.row_belongs_to_its_author();
    create trigger crm_write_audit
      after insert or update or delete on public.%1 for each row execute function public.crm_write_audit();

    alter table public.%1 enable row level security;
    create policy %1_select_as_owner on public.%1
      for select to authenticated using (owner_id in (select public.my_owner_ids()));
    create policy %1_insert_as_owner on public.%1
      for insert to authenticated with check (owner_id in (select public.my_owner_ids()));
    create policy %1_update_as_owner on public.%1
      for update to authenticated
      using (owner_id in (select public.my_owner_ids())) with check (owner_id in (select public.my_owner_ids()));

    revoke all on public.%1 from public, anon, authenticated, service_role;
    $sql$,
    '%1', quote_ident(v_name)
  );

  execute format(
    'create trigger crm_keep_rules before update on public.%I for each row execute function public.crm_keep_rules(%s)',
    v_name,
    (
      select coalesce(string_agg(quote_literal(a.argument), ', ' order by a.ordinality), '')
      from unnest(p_transitions::text || p_settled) with ordinality as a (argument, ordinality)
      where a.argument is not null
    )
  );

  for v_column, v_target in select r.key, r.value from jsonb_each_text(p_references) as r loop
    execute format(
      'alter table public.%I add constraint %I foreign key (owner_id, %I) references public.%I (owner_id, id)',
      v_name, v_name || '_' || v_column || '_fkey', v_column, 'crm_' || v_target
    );
    execute format('create index %I on public.%I (owner_id, %I)', v_name || '_' || v_column || '_idx', v_name, v_column);
  end loop;

  foreach v_column in array p_unique || p_numbers loop
    execute format(
      'alter table public.%I add constraint %I unique (owner_id, %I)', v_name, v_name || '_owner_id_' || v_column || '_key', v_column
    );
  end loop;

  perform public.enable_soft_delete(
    p_table,
    p_list_columns => array['owner_id', 'created_at', 'id'],
    p_condition => p_condition,
    p_unique_for_ever => array[v_name || '_owner_id_id_key', v_name || '_owner_id_request_id_key']
      || array(select v_name || '_owner_id_' || n || '_key' from unnest(p_numbers) as n)
  );

  execute format('grant select, insert (organization_id, request_id, %s) on public.%I to authenticated', v_columns, v_name);
  execute format('grant update (%s, archived_at) on public.%I to authenticated, service_role', v_columns, v_name);
  execute format(
    'grant select, insert (user_id, organization_id, request_id, %s), delete on public.%I to service_role', v_columns, v_name
  );
end;
$$;

create table public.crm_roles (
  name text not null,
  permissions text[] not null default '{}',
  is_system boolean not null default false,
  constraint crm_roles_name_has_1_to_100_characters check (char_length(name) between 1 and 100),
  constraint crm_roles_permissions_are_at_most_100_texts check (cardinality(permissions) <= 100 and array_position(permissions, null) is null),
  constraint crm_roles_permissions_have_at_most_10000_characters check (char_length(array_to_string(permissions, '')) <= 10000)
);

comment on table public.crm_roles is 'What somebody may do in the agency; those of every organisation are its systems own and stay.';

select public.crm_make_resource('public.crm_roles', p_unique => array['name'], p_condition => 'not is_system', p_kept => array['is_system']);

create table public.crm_users (
  account_id uuid,
  full_name text not null,
  email text,
  phone text,
  role_id uuid,
  constraint crm_users_full_name_has_1_to_200_characters check (char_length(full_name) between 1 and 200),
  constraint crm_users_email_has_an_at check (email like '%_@_%' and char_length(email) <= 254),
  constraint crm_users_phone_has_1_to_50_characters check (char_length(phone) between 1 and 50)
);

comment on table public.crm_users is 'Profiles of accounts, and of people who have none yet.';

select public.crm_make_resource('public.crm_users', p_references => '{"role_id": "roles"}', p_unique => array['account_id']);

create table public.crm_clients (
  name text not null,
  email text,
  phone text,
  country text,
  notes text,
  constraint crm_clients_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_clients_email_has_an_at check (email like '%_@_%' and char_length(email) <= 254),
  constraint crm_clients_phone_has_1_to_50_characters check (char_length(phone) between 1 and 50),
  constraint crm_clients_country_is_two_capitals check (country ~ '^[A-Z]{2}$'),
  constraint crm_clients_notes_has_1_to_2000_characters check (char_length(notes) between 1 and 2000)
);

comment on table public.crm_clients is 'Whom the agency sells to.';

select public.crm_make_resource('public.crm_clients');

create table public.crm_agents (
  name text not null,
  email text,
  phone text,
  commission_basis_points integer not null default 0,
  constraint crm_agents_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_agents_email_has_an_at check (email like '%_@_%' and char_length(email) <= 254),
  constraint crm_agents_phone_has_1_to_50_characters check (char_length(phone) between 1 and 50),
  constraint crm_agents_commission_basis_points_is_0_to_10000 check (commission_basis_points between 0 and 10000)
);

comment on table public.crm_agents is 'Who sells for the agency, for a share.';

select public.crm_make_resource('public.crm_agents');

create table public.crm_providers (
  name text not null,
  email text,
  phone text,
  tax_number text,
  constraint crm_providers_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_providers_email_has_an_at check (email like '%_@_%' and char_length(email) <= 254),
  constraint crm_providers_phone_has_1_to_50_characters check (char_length(phone) between 1 and 50),
  constraint crm_providers_tax_number_has_1_to_50_characters check (char_length(tax_number) between 1 and 50)
);

comment on table public.crm_providers is 'Whom the agency buys from.';

select public.crm_make_resource('public.crm_providers', p_unique => array['tax_number']);

create table public.crm_hotels (
  name text not null,
  city text not null,
  country text,
  stars integer,
  provider_id uuid,
  phone text,
  constraint crm_hotels_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_hotels_city_has_1_to_200_characters check (char_length(city) between 1 and 200),
  constraint crm_hotels_country_is_two_capitals check (country ~ '^[A-Z]{2}$'),
  constraint crm_hotels_stars_is_1_to_5 check (stars between 1 and 5),
  constraint crm_hotels_phone_has_1_to_50_characters check (char_length(phone) between 1 and 50)
);

comment on table public.crm_hotels is 'Where travellers sleep.';

select public.crm_make_resource('public.crm_hotels', p_references => '{"provider_id": "providers"}');

create table public.crm_guides (
  name text not null,
  email text,
  phone text,
  languages text[] not null default '{}',
  daily_rate_minor bigint not null,
  currency text not null,
  constraint crm_guides_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_guides_email_has_an_at check (email like '%_@_%' and char_length(email) <= 254),
  constraint crm_guides_phone_has_1_to_50_characters check (char_length(phone) between 1 and 50),
  constraint crm_guides_languages_are_at_most_100_texts check (cardinality(languages) <= 100 and array_position(languages, null) is null),
  constraint crm_guides_languages_have_at_most_10000_characters check (char_length(array_to_string(languages, '')) <= 10000),
  constraint crm_guides_daily_rate_minor_is_0_to_1_trillion check (daily_rate_minor between 0 and 1000000000000),
  constraint crm_guides_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$')
);

comment on table public.crm_guides is 'Who shows travellers around.';

select public.crm_make_resource('public.crm_guides');

create table public.crm_vehicles (
  plate text not null,
  model text not null,
  seats integer not null,
  provider_id uuid,
  constraint crm_vehicles_plate_has_1_to_20_characters check (char_length(plate) between 1 and 20),
  constraint crm_vehicles_model_has_1_to_200_characters check (char_length(model) between 1 and 200),
  constraint crm_vehicles_seats_is_1_to_200 check (seats between 1 and 200)
);

comment on table public.crm_vehicles is 'What travellers are driven in.';

select public.crm_make_resource('public.crm_vehicles', p_references => '{"provider_id": "providers"}', p_unique => array['plate']);

create table public.crm_restaurants (
  name text not null,
  city text not null,
  country text,
  cuisine text,
  seats integer,
  phone text,
  constraint crm_restaurants_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_restaurants_city_has_1_to_200_characters check (char_length(city) between 1 and 200),
  constraint crm_restaurants_country_is_two_capitals check (country ~ '^[A-Z]{2}$'),
  constraint crm_restaurants_cuisine_has_1_to_100_characters check (char_length(cuisine) between 1 and 100),
  constraint crm_restaurants_seats_is_1_to_10000 check (seats between 1 and 10000),
  constraint crm_restaurants_phone_has_1_to_50_characters check (char_length(phone) between 1 and 50)
);

comment on table public.crm_restaurants is 'Where travellers eat.';

select public.crm_make_resource('public.crm_restaurants');

create table public.crm_entrance_fees (
  name text not null,
  city text not null,
  adult_minor bigint not null,
  child_minor bigint not null default 0,
  currency text not null,
  valid_from date,
  valid_until date,
  constraint crm_entrance_fees_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_entrance_fees_city_has_1_to_200_characters check (char_length(city) between 1 and 200),
  constraint crm_entrance_fees_adult_minor_is_0_to_1_trillion check (adult_minor between 0 and 1000000000000),
  constraint crm_entrance_fees_child_minor_is_0_to_1_trillion check (child_minor between 0 and 1000000000000),
  constraint crm_entrance_fees_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$'),
  constraint crm_entrance_fees_valid_from_has_four_digits_of_year check (valid_from between '2000-01-01' and '9999-12-31'),
  constraint crm_entrance_fees_valid_until_has_four_digits_of_year check (valid_until between '2000-01-01' and '9999-12-31'),
  constraint crm_entrance_fees_valid_until_is_not_before_valid_from check (valid_until >= valid_from),
  constraint crm_entrance_fees_child_minor_is_at_most_adult_minor check (child_minor <= adult_minor)
);

comment on table public.crm_entrance_fees is 'What sights cost.';

select public.crm_make_resource('public.crm_entrance_fees');

create table public.crm_bookings (
  title text not null,
  client_id uuid not null,
  agent_id uuid,
  starts_on date not null,
  ends_on date not null,
  travellers integer not null,
  total_minor bigint not null,
  currency text not null,
  status text not null default 'draft',
  constraint crm_bookings_title_has_1_to_200_characters check (char_length(title) between 1 and 200),
  constraint crm_bookings_starts_on_has_four_digits_of_year check (starts_on between '2000-01-01' and '9999-12-31'),
  constraint crm_bookings_ends_on_has_four_digits_of_year check (ends_on between '2000-01-01' and '9999-12-31'),
  constraint crm_bookings_travellers_is_1_to_1000 check (travellers between 1 and 1000),
  constraint crm_bookings_total_minor_is_0_to_1_trillion check (total_minor between 0 and 1000000000000),
  constraint crm_bookings_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$'),
  constraint crm_bookings_status_is_known check (status in ('draft', 'confirmed', 'completed', 'cancelled')),
  constraint crm_bookings_ends_on_is_not_before_starts_on check (ends_on >= starts_on)
);

comment on table public.crm_bookings is 'Journeys that clients book.';

select public.crm_make_resource('public.crm_bookings', p_references => '{"client_id": "clients", "agent_id": "agents"}',
  p_transitions => '{"draft": ["confirmed", "cancelled"], "confirmed": ["completed", "cancelled"]}');

create table public.crm_daily_tours (
  name text not null,
  takes_place_on date not null,
  booking_id uuid,
  guide_id uuid,
  vehicle_id uuid,
  places integer not null,
  price_minor bigint not null,
  currency text not null,
  constraint crm_daily_tours_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint crm_daily_tours_takes_place_on_has_four_digits_of_year check (takes_place_on between '2000-01-01' and '9999-12-31'),
  constraint crm_daily_tours_places_is_1_to_1000 check (places between 1 and 1000),
  constraint crm_daily_tours_price_minor_is_0_to_1_trillion check (price_minor between 0 and 1000000000000),
  constraint crm_daily_tours_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$')
);

comment on table public.crm_daily_tours is 'Tours of a day, with a guide and a vehicle.';

select public.crm_make_resource('public.crm_daily_tours', p_references => '{"booking_id": "bookings", "guide_id": "guides", "vehicle_id": "vehicles"}');

create table public.crm_transfers (
  from_place text not null,
  to_place text not null,
  departs_at timestamptz not null,
  passengers integer not null,
  booking_id uuid,
  vehicle_id uuid,
  constraint crm_transfers_from_place_has_1_to_200_characters check (char_length(from_place) between 1 and 200),
  constraint crm_transfers_to_place_has_1_to_200_characters check (char_length(to_place) between 1 and 200),
  constraint crm_transfers_departs_at_is_in_this_century check (departs_at >= '2000-01-01T00:00:00Z' and departs_at < '2100-01-01T00:00:00Z'),
  constraint crm_transfers_passengers_is_1_to_1000 check (passengers between 1 and 1000)
);

comment on table public.crm_transfers is 'Drives from one place to another.';

select public.crm_make_resource('public.crm_transfers', p_references => '{"booking_id": "bookings", "vehicle_id": "vehicles"}');

create table public.crm_extra_expenses (
  description text not null,
  amount_minor bigint not null,
  currency text not null,
  spent_on date not null,
  booking_id uuid,
  constraint crm_extra_expenses_description_has_1_to_200_characters check (char_length(description) between 1 and 200),
  constraint crm_extra_expenses_amount_minor_is_0_to_1_trillion check (amount_minor between 0 and 1000000000000),
  constraint crm_extra_expenses_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$'),
  constraint crm_extra_expenses_spent_on_has_four_digits_of_year check (spent_on between '2000-01-01' and '9999-12-31')
);

comment on table public.crm_extra_expenses is 'What was paid beside what was planned.';

select public.crm_make_resource('public.crm_extra_expenses', p_references => '{"booking_id": "bookings"}');

create table public.crm_invoices_receivable (
  number text not null,
  client_id uuid not null,
  booking_id uuid,
  amount_minor bigint not null,
  paid_minor bigint not null default 0,
  currency text not null,
  issued_on date not null,
  due_on date not null,
  status text not null default 'draft',
  constraint crm_invoices_receivable_number_has_1_to_50_characters check (char_length(number) between 1 and 50),
  constraint crm_invoices_receivable_amount_minor_is_0_to_1_trillion check (amount_minor between 0 and 1000000000000),
  constraint crm_invoices_receivable_paid_minor_is_0_to_1_trillion check (paid_minor between 0 and 1000000000000),
  constraint crm_invoices_receivable_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$'),
  constraint crm_invoices_receivable_issued_on_has_four_digits_of_year check (issued_on between '2000-01-01' and '9999-12-31'),
  constraint crm_invoices_receivable_due_on_has_four_digits_of_year check (due_on between '2000-01-01' and '9999-12-31'),
  constraint crm_invoices_receivable_status_is_known check (status in ('draft', 'issued', 'paid', 'void')),
  constraint crm_invoices_receivable_due_on_is_not_before_issued_on check (due_on >= issued_on),
  constraint crm_invoices_receivable_paid_minor_is_at_most_amount_minor check (paid_minor <= amount_minor),
  constraint crm_invoices_receivable_status_is_paid_only_with_all_of_it check (status <> 'paid' or paid_minor = amount_minor)
);

comment on table public.crm_invoices_receivable is 'What clients owe the agency.';

select public.crm_make_resource('public.crm_invoices_receivable', p_references => '{"client_id": "clients", "booking_id": "bookings"}', p_numbers => array['number'],
  p_transitions => '{"draft": ["issued", "void"], "issued": ["paid", "void"]}', p_condition => $$status <> 'issued'$$,
  p_settled => array['draft', 'number', 'client_id', 'amount_minor', 'currency']);

create table public.crm_invoices_payable (
  number text not null,
  provider_id uuid not null,
  booking_id uuid,
  amount_minor bigint not null,
  paid_minor bigint not null default 0,
  currency text not null,
  issued_on date not null,
  due_on date not null,
  status text not null default 'received',
  constraint crm_invoices_payable_number_has_1_to_50_characters check (char_length(number) between 1 and 50),
  constraint crm_invoices_payable_amount_minor_is_0_to_1_trillion check (amount_minor between 0 and 1000000000000),
  constraint crm_invoices_payable_paid_minor_is_0_to_1_trillion check (paid_minor between 0 and 1000000000000),
  constraint crm_invoices_payable_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$'),
  constraint crm_invoices_payable_issued_on_has_four_digits_of_year check (issued_on between '2000-01-01' and '9999-12-31'),
  constraint crm_invoices_payable_due_on_has_four_digits_of_year check (due_on between '2000-01-01' and '9999-12-31'),
  constraint crm_invoices_payable_status_is_known check (status in ('received', 'approved', 'paid', 'rejected')),
  constraint crm_invoices_payable_due_on_is_not_before_issued_on check (due_on >= issued_on),
  constraint crm_invoices_payable_paid_minor_is_at_most_amount_minor check (paid_minor <= amount_minor),
  constraint crm_invoices_payable_status_is_paid_only_with_all_of_it check (status <> 'paid' or paid_minor = amount_minor)
);

comment on table public.crm_invoices_payable is 'What the agency owes its providers.';

select public.crm_make_resource('public.crm_invoices_payable', p_references => '{"provider_id": "providers", "booking_id": "bookings"}',
  p_transitions => '{"received": ["approved", "rejected"], "approved": ["paid", "rejected"]}', p_condition => $$status <> 'approved'$$,
  p_settled => array['received', 'number', 'provider_id', 'amount_minor', 'currency']);

drop function public.crm_make_resource(regclass, jsonb, text[], text[], jsonb, text, text[], text[]);

-- An account that a profile names is a member's, and of a user without organisation their own.
alter table public.crm_users
  add constraint crm_users_account_id_fkey foreign key (organization_id, account_id)
    references public.organization_members (organization_id, user_id) on delete set null (account_id),
  add constraint crm_users_account_is_a_colleague
    check (organization_id is not null or account_id is null or account_id = user_id);

-- It serves the column alone as well.
drop index public.crm_users_organization_id_idx;
create index crm_users_account_id_idx on public.crm_users (organization_id, account_id);

-- The provider gives the number, and may give it anew after the invoice was rejected. Archived ones
-- count: what has been paid and put away would be paid again.
create unique index crm_invoices_payable_provider_id_number_key on public.crm_invoices_payable (owner_id, provider_id, number)
  where status <> 'rejected';

-- What every organisation's members may do is the system's to say.
create function public.crm_keep_system_roles() returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if old.is_system then
    raise exception 'changing role %: it is one of the system''s', old.name using errcode = 'CR002';
  end if;

  return new;
end;
$$;

comment on function public.crm_keep_system_roles() is 'SQLSTATE CR002: the role is one of the system''s.';

-- Not where it is to be archived: that it may not be says the table's condition.
create trigger crm_keep_system_roles
  before update on public.crm_roles
  for each row when (old.archived_at is not distinct from new.archived_at)
  execute function public.crm_keep_system_roles();

-- security definer: nobody writes roles of the system.
create function public.crm_give_system_roles() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into public.crm_roles (organization_id, name, permissions, is_system)
  values
    (new.id, 'owner', array['read', 'write', 'invite', 'manage'], true),
    (new.id, 'admin', array['read', 'write', 'invite'], true),
    (new.id, 'member', array['read', 'write'], true);
  return null;
end;
$$;

comment on function public.crm_give_system_roles() is 'Gives each organisation the roles that its members have.';

-- Those that were there before get theirs now.
create trigger crm_give_system_roles
  after update on public.organizations
  for each row execute function public.crm_give_system_roles();
update public.organizations set name = name where true;
drop trigger crm_give_system_roles on public.organizations;

create trigger crm_give_system_roles
  after insert on public.organizations
  for each row execute function public.crm_give_system_roles();

-- One call for each write: what belongs together commits together.
--
-- p_request: {id, key, method, route}. Its id is the same in every attempt at one request: an attempt
-- that comes after one whose answer was lost changes nothing and is given the row as it is.

-- What a constraint says, without its table: the end of its name reads as a sentence.
create function public.crm_refuse(p_table text, p_code text, p_constraint text) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  raise exception 'changing %: %', p_table, p_constraint
    using
      errcode = case p_code when '23505' then 'CR006' when '23503' then 'CR007' else 'CR003' end,
      detail = regexp_replace(replace(p_constraint, p_table || '_', ''), '^owner_id_|(_key|_fkey)$', '', 'g');
end;
$$;

comment on function public.crm_refuse(text, text, text) is
  'SQLSTATE CR003: a rule of the columns, named in the detail; CR006: a value is taken; CR007: nothing to refer to.';

create function public.crm_create(p_resource text, p_fields jsonb, p_organization_id uuid, p_request jsonb) returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_table constant text := 'crm_' || p_resource;
  v_columns constant text := (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(p_fields) as k);
  v_code text;
  v_constraint text;
  v_row jsonb;
begin
  perform public.require_membership(p_organization_id);
  -- A request that made a row which is archived by now is answered with it.
  perform set_config('archive.included', 'true', true);
  perform set_config('crm.request', p_request::text, true);

  begin
    execute format(
      'insert into public.%1$I (organization_id, request_id, %2$s)
       select $1, $2, %2$s from jsonb_populate_record(null::public.%1$I, $3)
       on conflict (owner_id, request_id) do nothing',
      v_table, v_columns
    ) using p_organization_id, p_request ->> 'id', p_fields;
  exception
    when unique_violation or foreign_key_violation or check_violation then
      get stacked diagnostics v_constraint = constraint_name;

      -- It is the caller who is gone, and no row that was referred to.
      if v_constraint = v_table || '_user_fkey' then
        raise;
      end if;

      v_code := sqlstate;
  end;

  execute format('select to_jsonb(r) from public.%I as r where r.owner_id = $1 and r.request_id = $2', v_table)
  into v_row
  using coalesce(p_organization_id, auth.uid()), p_request ->> 'id';

  -- Another attempt at this request may be who has taken the value meanwhile.
  if v_row is null then
    perform public.crm_refuse(v_table, v_code, v_constraint);
  end if;

  return v_row;
end;
$$;

comment on function public.crm_create(text, jsonb, uuid, jsonb) is
  'Makes a row of a resource, once for each request. SQLSTATE CR003, CR006, CR007, OR001.';

create function public.crm_change(
  p_resource text, p_action text, p_id uuid, p_fields jsonb, p_versions integer[], p_request jsonb
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_table constant text := 'crm_' || p_resource;
  v_row jsonb;
  v_constraint text;
  v_is_archived boolean;
  v_assignments text;
begin
  perform set_config('archive.included', 'true', true);
  perform set_config('crm.request', p_request::text, true);

  execute format('select public.require_membership(r.organization_id) from public.%I as r where r.id = $1', v_table)
  using p_id;

  -- An attempt at the same request that is still at it is waited for here; what it has done is
  -- then seen below.
  execute format('select to_jsonb(r) from public.%I as r where r.id = $1 for no key update', v_table)
  into v_row
  using p_id;

  if v_row is null then
    raise exception 'changing %: there is no row %', v_table, p_id using errcode = 'CR000';
  end if;

  v_is_archived := v_row ->> 'archived_at' is not null;

  if v_is_archived = (p_action = 'archive') and p_action <> 'update'
    or exists (
      select from public.crm_audit as a
      where a.owner_id = (v_row ->> 'owner_id')::uuid
        and a.request_id = p_request ->> 'id'
        and a.resource = p_resource
        and a.row_id = p_id
    )
  then
    return v_row;
  end if;

  if p_action = 'update' and v_is_archived then
    raise exception 'changing %: % is archived, restore it first', v_table, p_id using errcode = 'SD001';
  end if;

  if (v_row ->> 'version')::integer <> all (p_versions) then
    raise exception 'changing %: % is at version % by now', v_table, p_id, v_row ->> 'version' using errcode = 'CR005';
  end if;

  v_assignments := case p_action
    when 'archive' then 'archived_at = now()'
    when 'restore' then 'archived_at = null'
    else (select string_agg(format('%1$I = n.%1$I', k), ', ') from jsonb_object_keys(p_fields) as k)
  end;

  begin
    execute format(
      'update public.%1$I as r set %2$s from jsonb_populate_record(null::public.%1$I, $2) as n
       where r.id = $1 returning to_jsonb(r)',
      v_table, v_assignments
    )
    into strict v_row
    using p_id, p_fields;
  exception
    when unique_violation or foreign_key_violation or check_violation then
      get stacked diagnostics v_constraint = constraint_name;
      perform public.crm_refuse(v_table, sqlstate, v_constraint);
  end;

  return v_row;
end;
$$;

comment on function public.crm_change(text, text, uuid, jsonb, integer[], jsonb) is
  'Updates, archives or restores a row of a resource, once for each request. SQLSTATE CR000: no such row; SD001: archived; CR005: another version; CR001, CR002, CR003, CR006, CR007.';

revoke all on function public.crm_keep_system_roles() from public, anon, authenticated, service_role;
revoke all on function public.crm_give_system_roles() from public, anon, authenticated, service_role;
revoke all on function public.crm_refuse(text, text, text) from public, anon, authenticated, service_role;
revoke all on function public.crm_create(text, jsonb, uuid, jsonb) from public, anon, authenticated, service_role;
revoke all on function public.crm_change(text, text, uuid, jsonb, integer[], jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.crm_refuse(text, text, text) to authenticated;
grant execute on function public.crm_create(text, jsonb, uuid, jsonb) to authenticated;
grant execute on function public.crm_change(text, text, uuid, jsonb, integer[], jsonb) to authenticated;
