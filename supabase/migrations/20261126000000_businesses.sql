-- Businesses and who belongs to them: everything of the point of sale is seen by the members of one.

create table public.businesses (
  id uuid not null default gen_random_uuid(),
  name text not null,
  currency text not null,
  time_zone text not null default 'UTC',
  created_at timestamptz not null default now(),
  constraint businesses_pkey primary key (id),
  constraint businesses_name_has_1_to_100_characters check (char_length(name) between 1 and 100),
  constraint businesses_currency_is_3_uppercase_letters check (currency ~ '^[A-Z]{3}$'),
  -- an unknown one raises 22023 here rather than at the first invoice
  constraint businesses_time_zone_is_known_to_postgres check (
    char_length(time_zone) between 1 and 64
    and timezone(time_zone, timestamptz '2000-01-01 00:00:00+00') is not null
  )
);

comment on table public.businesses is 'One shop or chain: owner of products, locations, documents and their numbers.';
comment on column public.businesses.currency is 'ISO 4217; every amount of the business is in its smallest unit.';
comment on column public.businesses.time_zone is 'Whose calendar names the month in document numbers.';

create table public.memberships (
  business_id uuid not null references public.businesses (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null,
  created_at timestamptz not null default now(),
  constraint memberships_pkey primary key (business_id, user_id),
  constraint memberships_role_is_known check (role in ('owner', 'manager', 'cashier'))
);

comment on table public.memberships is 'Who may act for a business, and as what.';

create index memberships_user_id_idx on public.memberships (user_id);

-- One owner, whom the API can neither add nor remove: two owners who remove one another at the same
-- moment would leave a business without any.
create unique index memberships_one_owner_per_business on public.memberships (business_id) where role = 'owner';

-- security definer: the policy of memberships asks this about memberships, which as the caller would
-- ask the policy again. It tells callers about themselves only.
--
-- A set, not "is the caller a member of this one": policies evaluate it once a query, not once a row.
create function public.my_business_ids(p_roles text[] default array['owner', 'manager', 'cashier']) returns setof uuid
language sql
stable
security definer
set search_path = ''
as $$
  select m.business_id
  from public.memberships as m
  where m.user_id = auth.uid() and m.role = any (p_roles);
$$;

comment on function public.my_business_ids(text[]) is
  'The businesses that the caller is a member of, in one of these roles.';

-- security invoker: for the functions of the point of sale, which run as the owner of the tables.
create function public.my_role_in(p_business_id uuid) returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select m.role
  from public.memberships as m
  where m.business_id = p_business_id and m.user_id = auth.uid();
$$;

comment on function public.my_role_in(uuid) is 'The role of the caller in a business; null: not a member.';

alter table public.businesses enable row level security;
alter table public.memberships enable row level security;

create policy businesses_select_as_member on public.businesses
  for select to authenticated using (id in (select public.my_business_ids()));
create policy businesses_update_as_owner on public.businesses
  for update to authenticated
  using (id in (select public.my_business_ids(array['owner'])))
  with check (id in (select public.my_business_ids(array['owner'])));

create policy memberships_select_as_member on public.memberships
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy memberships_insert_as_owner on public.memberships
  for insert to authenticated
  with check (business_id in (select public.my_business_ids(array['owner'])) and role <> 'owner');
create policy memberships_update_as_owner on public.memberships
  for update to authenticated
  using (business_id in (select public.my_business_ids(array['owner'])) and role <> 'owner')
  with check (business_id in (select public.my_business_ids(array['owner'])) and role <> 'owner');
create policy memberships_delete_as_owner on public.memberships
  for delete to authenticated
  using (business_id in (select public.my_business_ids(array['owner'])) and role <> 'owner');

revoke all on public.businesses, public.memberships from public, anon, authenticated, service_role;
-- Not the currency: amounts that are on the books would mean other money.
grant select, update (name, time_zone) on public.businesses to authenticated;
grant select, insert (business_id, user_id, role), update (role), delete on public.memberships to authenticated;
grant select, insert, update, delete on public.businesses, public.memberships to service_role;

-- security definer: a signed-in user may insert neither, or there could be a business that nobody
-- owns, and an owner whom nobody made one.
create function public.create_business(p_name text, p_currency text, p_time_zone text default 'UTC') returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_business_id uuid;
begin
  if auth.uid() is null then
    raise exception 'creating a business: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token.';
  end if;

  insert into public.businesses (name, currency, time_zone)
  values (p_name, p_currency, p_time_zone)
  returning id into v_business_id;

  insert into public.memberships (business_id, user_id, role)
  values (v_business_id, auth.uid(), 'owner');

  return v_business_id;
end;
$$;

comment on function public.create_business(text, text, text) is
  'Creates a business that the caller owns; answers its id.';

revoke all on function public.my_business_ids(text[]) from public, anon, authenticated, service_role;
revoke all on function public.my_role_in(uuid) from public, anon, authenticated, service_role;
revoke all on function public.create_business(text, text, text) from public, anon, authenticated, service_role;
-- the policies call it as the caller
grant execute on function public.my_business_ids(text[]) to authenticated;
grant execute on function public.create_business(text, text, text) to authenticated;
