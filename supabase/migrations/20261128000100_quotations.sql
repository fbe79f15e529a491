-- Quotations: what a user offers to a customer, at what price, and until when.
--
-- Money is in whole minor units of the currency (cents, yen) and every amount is computed here.
-- What may follow what is kept by triggers, so it holds by whatever route a row is written.

create table public.quotations (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  request_id text not null default 'idem_' || gen_random_uuid(),
  last_request_id text,
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
  constraint quotations_user_id_id_key unique (user_id, id),
  constraint quotations_user_id_request_id_key unique (user_id, request_id),
  constraint quotations_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint quotations_last_request_id_has_1_to_256_characters check (char_length(last_request_id) between 1 and 256),
  constraint quotations_version_starts_at_1 check (version >= 1),
  constraint quotations_status_is_known check (status in ('draft', 'sent', 'accepted', 'rejected', 'expired')),
  constraint quotations_customer_name_has_1_to_200_characters check (char_length(customer_name) between 1 and 200),
  constraint quotations_currency_is_three_capitals check (currency ~ '^[A-Z]{3}$'),
  constraint quotations_valid_until_has_four_digits_of_year check (valid_until between '2000-01-01' and '9999-12-31'),
  constraint quotations_amounts_are_not_negative check (net_minor >= 0 and tax_minor >= 0)
);

comment on table public.quotations is 'Offers of a user to a customer. Amounts are in minor units of the currency.';
comment on column public.quotations.request_id is
  'The request that made it: the same for every attempt, so that all of them find one quotation.';
comment on column public.quotations.last_request_id is 'The request that changed it last, where one said so.';
comment on column public.quotations.version is 'Counted up at every change: whoever changes it names the one they saw.';
comment on column public.quotations.valid_until is 'The last day, in UTC, on which it can be accepted; null: no last day.';
comment on column public.quotations.net_minor is 'The sum of the lines'' net amounts, kept by a trigger on them.';

create table public.quotation_lines (
  user_id uuid not null default auth.uid(),
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
  constraint quotation_lines_pkey primary key (user_id, quotation_id, position),
  constraint quotation_lines_quotation_fkey foreign key (user_id, quotation_id)
    references public.quotations (user_id, id) on delete cascade,
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
  user_id uuid not null references auth.users (id) on delete cascade,
  quotation_id uuid not null,
  action text not null,
  from_status text,
  to_status text,
  version integer not null,
  changed_by uuid,
  changed_at timestamptz not null default now(),
  request_id text,
  constraint quotation_history_pkey primary key (id),
  constraint quotation_history_user_id_request_id_key unique (user_id, request_id),
  constraint quotation_history_action_is_known
    check (action in ('created', 'updated', 'status_changed', 'archived', 'restored', 'deleted'))
);

comment on table public.quotation_history is
  'The audit trail of quotations: written by triggers and by nothing else, changed by nobody.';
comment on column public.quotation_history.changed_by is 'Who did it; null: the project itself, with the secret key.';
comment on column public.quotation_history.request_id is
  'The same for every attempt at one request: a change whose answer was lost is found here and not made again.';

create index quotation_history_user_id_quotation_id_idx on public.quotation_history (user_id, quotation_id, id);

select public.enable_soft_delete('public.quotations', array['user_id', 'created_at', 'id']);

alter table public.quotations enable row level security;
alter table public.quotation_lines enable row level security;
alter table public.quotation_history enable row level security;

create policy quotations_select_own on public.quotations
  for select to authenticated using ((select auth.uid()) = user_id);
create policy quotations_insert_own on public.quotations
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy quotations_update_own on public.quotations
  for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

create policy quotation_lines_select_own on public.quotation_lines
  for select to authenticated using ((select auth.uid()) = user_id);
create policy quotation_lines_insert_own on public.quotation_lines
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy quotation_lines_delete_own on public.quotation_lines
  for delete to authenticated using ((select auth.uid()) = user_id);

create policy quotation_history_select_own on public.quotation_history
  for select to authenticated using ((select auth.uid()) = user_id);

revoke all on public.quotations, public.quotation_lines, public.quotation_history
  from public, anon, authenticated, service_role;
revoke all on sequence public.quotation_history_id_seq from public, anon, authenticated, service_role;
grant select, insert (request_id, customer_name, currency, valid_until),
  update (status, customer_name, currency, valid_until, last_request_id, archived_at)
  on public.quotations to authenticated;
grant select, insert (quotation_id, position, description, quantity, unit_price_minor, tax_basis_points), delete
  on public.quotation_lines to authenticated;
grant select on public.quotation_history to authenticated, service_role;
-- Totals and versions follow from the rest, for the service role too.
grant select, insert (user_id, request_id, customer_name, currency, valid_until),
  update (status, customer_name, currency, valid_until, last_request_id, archived_at), delete
  on public.quotations to service_role;
grant select, insert (user_id, quotation_id, position, description, quantity, unit_price_minor, tax_basis_points), delete
  on public.quotation_lines to service_role;
