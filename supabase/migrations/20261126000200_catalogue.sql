-- What a business sells, and where.
--
-- Every key starts with business_id, so that nothing can point at another business's rows, whoever
-- writes it, and one index serves policies and foreign keys alike.

create table public.locations (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null references public.businesses (id),
  name text not null,
  created_at timestamptz not null default now(),
  constraint locations_pkey primary key (id),
  constraint locations_business_id_id_key unique (business_id, id),
  constraint locations_business_id_name_key unique (business_id, name),
  constraint locations_name_has_1_to_100_characters check (char_length(name) between 1 and 100)
);

comment on table public.locations is 'Shops and warehouses: places that hold stock.';

create table public.products (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null references public.businesses (id),
  sku text not null,
  name text not null,
  price bigint not null,
  created_at timestamptz not null default now(),
  constraint products_pkey primary key (id),
  constraint products_business_id_id_key unique (business_id, id),
  constraint products_business_id_sku_key unique (business_id, sku),
  constraint products_sku_has_1_to_64_characters check (char_length(sku) between 1 and 64),
  constraint products_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  -- 200 lines of 10,000 pieces at the highest price stay below 2^53, up to which a JSON number is exact
  constraint products_price_is_0_to_4000000000 check (price between 0 and 4000000000)
);

comment on column public.products.price is 'Of one piece, in the smallest unit of the business''s currency.';
comment on table public.products is 'What can be sold. What is on the books keeps the price that it was sold at.';

alter table public.locations enable row level security;
alter table public.products enable row level security;

create policy locations_select_as_member on public.locations
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy locations_insert_as_member on public.locations
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy locations_update_as_manager on public.locations
  for update to authenticated
  using (business_id in (select public.my_business_ids(array['owner', 'manager'])))
  with check (business_id in (select public.my_business_ids(array['owner', 'manager'])));

create policy products_select_as_member on public.products
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy products_insert_as_member on public.products
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy products_update_as_manager on public.products
  for update to authenticated
  using (business_id in (select public.my_business_ids(array['owner', 'manager'])))
  with check (business_id in (select public.my_business_ids(array['owner', 'manager'])));

revoke all on public.locations, public.products from public, anon, authenticated, service_role;
-- the id too: a client that repeats an insert whose answer was lost finds it taken
grant select, insert (id, business_id, name), update (name) on public.locations to authenticated;
grant select, insert (id, business_id, sku, name, price), update (sku, name, price) on public.products to authenticated;
grant select, insert, update, delete on public.locations, public.products to service_role;
