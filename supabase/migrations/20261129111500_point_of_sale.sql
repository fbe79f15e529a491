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

-- Document numbers follow the business: its calendar, its members, its end.

create or replace function public.document_time_zone(p_business_id uuid) returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select b.time_zone
  from public.businesses as b
  where b.id = p_business_id;
$$;

alter table public.document_sequences
  add constraint document_sequences_business_id_fkey
  foreign key (business_id) references public.businesses (id) on delete cascade;

create policy document_sequences_select_as_member on public.document_sequences
  for select to authenticated using (business_id in (select public.my_business_ids()));

grant select on public.document_sequences to authenticated;

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

-- Stock, and the movements it is the sum of.
--
-- Nobody writes stock: a trigger adds each movement to it. So the two agree whoever moves goods, and
-- the check on the sum is what keeps it from going below zero, by the lock of its row for sessions at
-- the same moment too.

create table public.stock (
  business_id uuid not null,
  location_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  constraint stock_pkey primary key (business_id, location_id, product_id),
  constraint stock_location_fkey foreign key (business_id, location_id)
    references public.locations (business_id, id),
  constraint stock_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint stock_quantity_is_not_negative check (quantity >= 0),
  constraint stock_quantity_is_at_most_1000000000 check (quantity <= 1000000000)
)
-- each sale updates it in place
with (fillfactor = 70);

comment on table public.stock is 'How many pieces of a product a location holds; no row: none ever came in.';

create index stock_business_id_product_id_idx on public.stock (business_id, product_id);

create table public.stock_movements (
  id bigint generated always as identity,
  business_id uuid not null,
  location_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  reason text not null,
  document_id uuid not null,
  created_at timestamptz not null default now(),
  constraint stock_movements_pkey primary key (id),
  constraint stock_movements_stock_fkey foreign key (business_id, location_id, product_id)
    references public.stock (business_id, location_id, product_id),
  constraint stock_movements_document_moves_a_product_once_per_location
    unique (business_id, location_id, product_id, document_id),
  constraint stock_movements_reason_is_known
    check (reason in ('sale', 'refund', 'receipt', 'transfer_sent', 'transfer_received')),
  constraint stock_movements_go_the_way_of_their_reason
    check (case when reason in ('sale', 'transfer_sent') then quantity < 0 else quantity > 0 end)
);

comment on table public.stock_movements is 'Goods that came or went, and the document that says why. Rows are added, never changed.';
comment on column public.stock_movements.quantity is 'Pieces: positive came in, negative went out.';
comment on column public.stock_movements.document_id is
  'The sale, refund, purchase receipt or transfer, as reason says.';

create function public.stock_movements_add_to_stock() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.stock as s
  set quantity = s.quantity + new.quantity
  where s.business_id = new.business_id and s.location_id = new.location_id and s.product_id = new.product_id;

  -- Not the other way round: a negative movement as a proposed row fails its check before the
  -- conflict is looked for.
  if not found then
    insert into public.stock as s (business_id, location_id, product_id, quantity)
    values (new.business_id, new.location_id, new.product_id, new.quantity)
    on conflict (business_id, location_id, product_id) do update set quantity = s.quantity + excluded.quantity;
  end if;

  return new;
end;
$$;

comment on function public.stock_movements_add_to_stock() is
  'Adds a new movement to the stock. SQLSTATE 23514: there is too little, or would be too much.';

create trigger stock_movements_add_to_stock
  before insert on public.stock_movements
  for each row execute function public.stock_movements_add_to_stock();

alter table public.stock enable row level security;
alter table public.stock_movements enable row level security;

create policy stock_select_as_member on public.stock
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy stock_movements_select_as_member on public.stock_movements
  for select to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.stock, public.stock_movements from public, anon, authenticated, service_role;
revoke all on sequence public.stock_movements_id_seq from public, anon, authenticated, service_role;
revoke all on function public.stock_movements_add_to_stock() from public, anon, authenticated, service_role;
grant select on public.stock, public.stock_movements to authenticated, service_role;

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

-- The lines of a request: products and how many pieces of each.

create type public.pos_line as (
  product_id uuid,
  quantity integer
);

comment on type public.pos_line is 'A product and a number of pieces.';

create function public.pos_lines(p_lines jsonb) returns public.pos_line[]
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_lines public.pos_line[];
begin
  if jsonb_typeof(p_lines) is distinct from 'array' then
    raise exception 'reading lines: expected an array of products and quantities' using errcode = '22023';
  end if;

  if jsonb_array_length(p_lines) not between 1 and 200 then
    raise exception 'reading lines: there must be 1 to 200, not %', jsonb_array_length(p_lines) using errcode = '22023';
  end if;

  select array_agg(row(l."productId", l.quantity)::public.pos_line order by l."productId") into v_lines
  from jsonb_to_recordset(p_lines) as l ("productId" uuid, quantity integer);

  if exists (
    select
    from unnest(v_lines) as l
    group by l.product_id
    having l.product_id is null or count(*) > 1 or bool_or((l.quantity between 1 and 10000) is not true)
  ) then
    raise exception 'reading lines: each needs a product of its own and 1 to 10000 pieces' using errcode = '22023';
  end if;

  return v_lines;
end;
$$;

comment on function public.pos_lines(jsonb) is
  'Reads [{"productId", "quantity"}]: 1 to 200, each product once. SQLSTATE 22023 or 22P02: not such a list.';

revoke all on function public.pos_lines(jsonb) from public, anon, authenticated, service_role;

-- Moving goods, for every operation that does.
--
-- Lock order of all operations, so that none waits in a circle: the document that is there already,
-- then stock rows by product, then the counter of document numbers. An operation touches the stock
-- of one location only.

create function public.pos_move_stock(
  p_business_id uuid,
  p_location_id uuid,
  p_document_id uuid,
  p_reason text,
  p_lines public.pos_line[]
) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_direction constant integer := case when p_reason in ('sale', 'transfer_sent') then -1 else 1 end;
  v_short jsonb;
  v_constraint text;
begin
  if v_direction < 0 then
    perform
    from public.stock as s
    where s.business_id = p_business_id
      and s.location_id = p_location_id
      and s.product_id in (select l.product_id from unnest(p_lines) as l)
    order by s.product_id
    for update;

    -- A statement of its own: it sees what was committed while the one before waited for its locks.
    select jsonb_agg(
      jsonb_build_object(
        'productId', p.id, 'sku', p.sku, 'asked', l.quantity, 'available', coalesce(s.quantity, 0)
      )
      order by p.sku
    )
    into v_short
    from unnest(p_lines) as l
    join public.products as p on p.business_id = p_business_id and p.id = l.product_id
    left join public.stock as s
      on s.business_id = p_business_id and s.location_id = p_location_id and s.product_id = l.product_id
    where coalesce(s.quantity, 0) < l.quantity;

    if v_short is not null then
      perform public.pos_refuse(
        422, 'INSUFFICIENT_STOCK', 'Too little stock',
        format(
          'Too few pieces at this location: of %s there are %s and %s were asked for%s; ask for fewer under a new key',
          v_short -> 0 ->> 'sku', v_short -> 0 ->> 'available', v_short -> 0 ->> 'asked',
          case when jsonb_array_length(v_short) > 1 then ' (and others, see products)' else '' end
        ),
        jsonb_build_object('products', v_short)
      );
    end if;
  end if;

  begin
    insert into public.stock_movements (business_id, location_id, product_id, quantity, reason, document_id)
    select p_business_id, p_location_id, l.product_id, v_direction * l.quantity, p_reason, p_document_id
    from unnest(p_lines) as l
    order by l.product_id;
  exception
    when check_violation then
      get stacked diagnostics v_constraint = constraint_name;

      if v_constraint <> 'stock_quantity_is_at_most_1000000000' then
        raise;
      end if;

      perform public.pos_refuse(
        422, 'STOCK_TOO_LARGE', 'Too much stock',
        'A location holds at most 1000000000 pieces of a product: check the quantities'
      );
  end;
end;
$$;

comment on function public.pos_move_stock(uuid, uuid, uuid, text, public.pos_line[]) is
  'Moves the goods of a document in or out of a location. SQLSTATE PT422: too few are there, or too many would be.';

revoke all on function public.pos_move_stock(uuid, uuid, uuid, text, public.pos_line[])
  from public, anon, authenticated, service_role;

-- Sales. Written by pos_record_sale alone: the API only reads them.

create table public.sales (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  location_id uuid not null,
  number text not null,
  currency text not null,
  total bigint not null,
  sold_by uuid not null,
  created_at timestamptz not null default now(),
  constraint sales_pkey primary key (id),
  constraint sales_business_id_id_key unique (business_id, id),
  constraint sales_business_id_number_key unique (business_id, number),
  constraint sales_location_fkey foreign key (business_id, location_id)
    references public.locations (business_id, id),
  constraint sales_number_is_an_invoice_number check (number ~ '^INV-[0-9]{6}-[0-9]{4,}$'),
  constraint sales_currency_is_3_uppercase_letters check (currency ~ '^[A-Z]{3}$'),
  constraint sales_total_is_0_to_what_json_holds_exactly check (total between 0 and 9007199254740991)
);

comment on table public.sales is 'What was sold, with the number of its invoice.';
comment on column public.sales.total is 'The sum of the lines, in the smallest unit of the currency.';
comment on column public.sales.sold_by is
  'Who recorded it. No foreign key: the sale stays on the books when the account goes.';

create index sales_business_id_location_id_idx on public.sales (business_id, location_id);

create table public.sale_lines (
  business_id uuid not null,
  sale_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  unit_price bigint not null,
  total bigint not null generated always as (quantity * unit_price) stored,
  refunded_quantity integer not null default 0,
  constraint sale_lines_pkey primary key (business_id, sale_id, product_id),
  constraint sale_lines_sale_fkey foreign key (business_id, sale_id)
    references public.sales (business_id, id),
  constraint sale_lines_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint sale_lines_quantity_is_1_to_10000 check (quantity between 1 and 10000),
  constraint sale_lines_unit_price_is_0_to_4000000000 check (unit_price between 0 and 4000000000),
  constraint sale_lines_refunded_is_never_more_than_sold check (refunded_quantity between 0 and quantity)
);

comment on column public.sale_lines.unit_price is 'What one piece cost when it was sold.';
comment on table public.sale_lines is 'The products of a sale, and how many of them came back.';

create index sale_lines_business_id_product_id_idx on public.sale_lines (business_id, product_id);

alter table public.sales enable row level security;
alter table public.sale_lines enable row level security;

create policy sales_select_as_member on public.sales
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy sale_lines_select_as_member on public.sale_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.sales, public.sale_lines from public, anon, authenticated, service_role;
grant select on public.sales, public.sale_lines to authenticated, service_role;

create function public.pos_record_sale(p_request jsonb) returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_sale_id constant uuid := gen_random_uuid();
  v_location_id constant uuid := (p_request ->> 'locationId')::uuid;
  v_lines constant public.pos_line[] := public.pos_lines(p_request -> 'lines');
  v_business_id uuid;
  v_unknown jsonb;
  v_sale json;
begin
  select l.business_id into v_business_id
  from public.locations as l
  where l.id = v_location_id and public.my_role_in(l.business_id) is not null;

  if not found then
    perform public.pos_refuse(
      404, 'LOCATION_NOT_FOUND', 'Location not found',
      format('There is no location %s in a business of yours: check the id', v_location_id)
    );
  end if;

  select jsonb_agg(l.product_id order by l.product_id) into v_unknown
  from unnest(v_lines) as l
  where not exists (
    select from public.products as p where p.business_id = v_business_id and p.id = l.product_id
  );

  if v_unknown is not null then
    perform public.pos_refuse(
      404, 'PRODUCT_NOT_FOUND', 'Product not found',
      format('The business has no product %s: check the ids', v_unknown ->> 0),
      jsonb_build_object('productIds', v_unknown)
    );
  end if;

  perform public.pos_move_stock(v_business_id, v_location_id, v_sale_id, 'sale', v_lines);

  -- one statement, so that total and lines are made of the same prices
  with priced as materialized (
    select l.product_id, l.quantity, p.price
    from unnest(v_lines) as l
    join public.products as p on p.business_id = v_business_id and p.id = l.product_id
  ), sale as (
    insert into public.sales (id, business_id, location_id, number, currency, total, sold_by)
    select
      v_sale_id, v_business_id, v_location_id, public.get_next_invoice_number(v_business_id), b.currency,
      (select sum(p.quantity * p.price) from priced as p), auth.uid()
    from public.businesses as b
    where b.id = v_business_id
    returning *
  ), lines as (
    insert into public.sale_lines (business_id, sale_id, product_id, quantity, unit_price)
    select s.business_id, s.id, p.product_id, p.quantity, p.price
    from sale as s
    cross join priced as p
    returning *
  )
  select json_build_object(
    'saleId', s.id,
    'number', s.number,
    'locationId', s.location_id,
    'currency', s.currency,
    'total', s.total,
    'lines', (
      select json_agg(
        json_build_object(
          'productId', l.product_id, 'quantity', l.quantity, 'unitPrice', l.unit_price, 'total', l.total
        )
        order by l.product_id
      )
      from lines as l
    ),
    'createdAt', s.created_at
  )
  into v_sale
  from sale as s;

  return v_sale;
end;
$$;

comment on function public.pos_record_sale(jsonb) is
  'Takes the goods of a sale out of stock and writes its invoice. Request: locationId, lines of productId and quantity.';

revoke all on function public.pos_record_sale(jsonb) from public, anon, authenticated, service_role;

-- Refunds: goods that come back to where they were sold, and the money for them.

create table public.refunds (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  sale_id uuid not null,
  number text not null,
  total bigint not null,
  refunded_by uuid not null,
  created_at timestamptz not null default now(),
  constraint refunds_pkey primary key (id),
  constraint refunds_business_id_id_sale_id_key unique (business_id, id, sale_id),
  constraint refunds_business_id_number_key unique (business_id, number),
  constraint refunds_sale_fkey foreign key (business_id, sale_id)
    references public.sales (business_id, id),
  constraint refunds_number_is_a_return_number check (number ~ '^RET-[0-9]{6}-[0-9]{4,}$'),
  constraint refunds_total_is_0_to_what_json_holds_exactly check (total between 0 and 9007199254740991)
);

comment on table public.refunds is 'Returns of goods of one sale, each with a number of its own.';
comment on column public.refunds.total is 'The sum of the lines, in the smallest unit of the sale''s currency.';
comment on column public.refunds.refunded_by is
  'Who recorded it. No foreign key: the refund stays on the books when the account goes.';

create index refunds_business_id_sale_id_idx on public.refunds (business_id, sale_id);

create table public.refund_lines (
  business_id uuid not null,
  refund_id uuid not null,
  sale_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  total bigint not null,
  constraint refund_lines_pkey primary key (business_id, refund_id, sale_id, product_id),
  constraint refund_lines_refund_fkey foreign key (business_id, refund_id, sale_id)
    references public.refunds (business_id, id, sale_id),
  constraint refund_lines_sale_line_fkey foreign key (business_id, sale_id, product_id)
    references public.sale_lines (business_id, sale_id, product_id),
  constraint refund_lines_quantity_is_1_to_10000 check (quantity between 1 and 10000)
);

comment on table public.refund_lines is 'Which products of the sale came back, and how many.';
comment on column public.refund_lines.total is 'Set by the trigger: the pieces at the price they were sold at.';

create index refund_lines_business_id_sale_id_product_id_idx
  on public.refund_lines (business_id, sale_id, product_id);

-- The count is kept at the sale's line, where a check can compare it with what was sold; its row lock
-- makes two refunds of one sale wait for one another.
create function public.refund_lines_count_at_the_sale() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.sale_lines as l
  set refunded_quantity = l.refunded_quantity + new.quantity
  where l.business_id = new.business_id and l.sale_id = new.sale_id and l.product_id = new.product_id
  returning new.quantity * l.unit_price into new.total;

  return new;
end;
$$;

comment on function public.refund_lines_count_at_the_sale() is
  'Counts what came back at the line of the sale, and prices it. SQLSTATE 23514: more than was sold.';

create trigger refund_lines_count_at_the_sale
  before insert on public.refund_lines
  for each row execute function public.refund_lines_count_at_the_sale();

alter table public.refunds enable row level security;
alter table public.refund_lines enable row level security;

create policy refunds_select_as_member on public.refunds
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy refund_lines_select_as_member on public.refund_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.refunds, public.refund_lines from public, anon, authenticated, service_role;
revoke all on function public.refund_lines_count_at_the_sale() from public, anon, authenticated, service_role;
grant select on public.refunds, public.refund_lines to authenticated, service_role;

create function public.pos_refund_sale(p_sale_id uuid, p_request jsonb) returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_refund_id constant uuid := gen_random_uuid();
  v_sale public.sales;
  v_lines public.pos_line[];
  v_over jsonb;
  v_refund json;
begin
  select s.* into v_sale
  from public.sales as s
  where s.id = p_sale_id and public.my_role_in(s.business_id) is not null
  for no key update;

  if not found then
    perform public.pos_refuse(
      404, 'SALE_NOT_FOUND', 'Sale not found',
      format('There is no sale %s in a business of yours: check the id', p_sale_id)
    );
  end if;

  if p_request ? 'lines' then
    v_lines := public.pos_lines(p_request -> 'lines');
  else
    select array_agg(row(l.product_id, l.quantity - l.refunded_quantity)::public.pos_line order by l.product_id)
    into v_lines
    from public.sale_lines as l
    where l.business_id = v_sale.business_id and l.sale_id = v_sale.id and l.quantity > l.refunded_quantity;

    if v_lines is null then
      perform public.pos_refuse(
        422, 'REFUND_EXCEEDS_SALE', 'Refund exceeds sale',
        format('All of sale %s has been refunded already', v_sale.number)
      );
    end if;
  end if;

  select jsonb_agg(
    jsonb_build_object(
      'productId', l.product_id, 'asked', l.quantity, 'refundable', coalesce(s.quantity - s.refunded_quantity, 0)
    )
    order by l.product_id
  )
  into v_over
  from unnest(v_lines) as l
  left join public.sale_lines as s
    on s.business_id = v_sale.business_id and s.sale_id = v_sale.id and s.product_id = l.product_id
  where l.quantity > coalesce(s.quantity - s.refunded_quantity, 0);

  if v_over is not null then
    perform public.pos_refuse(
      422, 'REFUND_EXCEEDS_SALE', 'Refund exceeds sale',
      format(
        'Of product %s, %s can be refunded on sale %s and %s were asked for; ask for fewer under a new key',
        v_over -> 0 ->> 'productId', v_over -> 0 ->> 'refundable', v_sale.number, v_over -> 0 ->> 'asked'
      ),
      jsonb_build_object('products', v_over)
    );
  end if;

  perform public.pos_move_stock(v_sale.business_id, v_sale.location_id, v_refund_id, 'refund', v_lines);

  with refund as (
    insert into public.refunds (id, business_id, sale_id, number, total, refunded_by)
    select
      v_refund_id, v_sale.business_id, v_sale.id, public.get_next_return_number(v_sale.business_id),
      (
        select sum(l.quantity * s.unit_price)
        from unnest(v_lines) as l
        join public.sale_lines as s
          on s.business_id = v_sale.business_id and s.sale_id = v_sale.id and s.product_id = l.product_id
      ),
      auth.uid()
    returning *
  ), lines as (
    insert into public.refund_lines (business_id, refund_id, sale_id, product_id, quantity)
    select r.business_id, r.id, r.sale_id, l.product_id, l.quantity
    from refund as r
    cross join unnest(v_lines) as l
    returning *
  )
  select json_build_object(
    'refundId', r.id,
    'number', r.number,
    'saleId', r.sale_id,
    'currency', v_sale.currency,
    'total', r.total,
    'lines', (
      select json_agg(
        json_build_object('productId', l.product_id, 'quantity', l.quantity, 'total', l.total)
        order by l.product_id
      )
      from lines as l
    ),
    'createdAt', r.created_at
  )
  into v_refund
  from refund as r;

  return v_refund;
end;
$$;

comment on function public.pos_refund_sale(uuid, jsonb) is
  'Takes goods of a sale back into stock and writes the refund. Request: lines, or all that is left of the sale.';

revoke all on function public.pos_refund_sale(uuid, jsonb) from public, anon, authenticated, service_role;

-- Purchase receipts: members write drafts through the API; approving one, a manager's matter, brings
-- the goods into stock and gives it its number.

create table public.purchase_receipts (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  location_id uuid not null,
  supplier text not null,
  status text not null default 'draft',
  number text,
  created_by uuid not null default auth.uid(),
  created_at timestamptz not null default now(),
  approved_by uuid,
  approved_at timestamptz,
  constraint purchase_receipts_pkey primary key (id),
  constraint purchase_receipts_business_id_id_key unique (business_id, id),
  constraint purchase_receipts_business_id_number_key unique (business_id, number),
  constraint purchase_receipts_location_fkey foreign key (business_id, location_id)
    references public.locations (business_id, id),
  constraint purchase_receipts_supplier_has_1_to_200_characters check (char_length(supplier) between 1 and 200),
  constraint purchase_receipts_status_is_known check (status in ('draft', 'approved')),
  constraint purchase_receipts_number_is_a_receipt_number check (number ~ '^RCP-[0-9]{6}-[0-9]{4,}$'),
  constraint purchase_receipts_only_approved_has_number_and_approval check (
    num_nonnulls(number, approved_by, approved_at) = case when status = 'approved' then 3 else 0 end
  )
);

comment on table public.purchase_receipts is 'Deliveries of a supplier to a location.';
comment on column public.purchase_receipts.number is 'Given at approval, so that a draft which is thrown away leaves no gap.';

create index purchase_receipts_business_id_location_id_idx
  on public.purchase_receipts (business_id, location_id);

create table public.purchase_receipt_lines (
  business_id uuid not null,
  receipt_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  constraint purchase_receipt_lines_pkey primary key (business_id, receipt_id, product_id),
  constraint purchase_receipt_lines_receipt_fkey foreign key (business_id, receipt_id)
    references public.purchase_receipts (business_id, id) on delete cascade,
  constraint purchase_receipt_lines_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint purchase_receipt_lines_quantity_is_1_to_1000000 check (quantity between 1 and 1000000)
);

comment on table public.purchase_receipt_lines is 'What was delivered.';

create index purchase_receipt_lines_business_id_product_id_idx
  on public.purchase_receipt_lines (business_id, product_id);

-- A policy cannot do this: it sees the draft of before an approval that commits a moment later. The
-- lock waits for that commit, and holds the next approval back until this line is in.
--
-- security definer: locking the receipt takes a right to update it, which signed-in users have not.
create function public.purchase_receipt_lines_need_a_draft() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_line constant public.purchase_receipt_lines := case when tg_op = 'DELETE' then old else new end;
  v_status text;
begin
  select r.status into v_status
  from public.purchase_receipts as r
  where r.business_id = v_line.business_id and r.id = v_line.receipt_id
    and (auth.uid() is null or public.my_role_in(r.business_id) is not null)
  for no key update;

  -- The draft itself is being deleted, or the foreign key will say so. Or it is somebody else's: the
  -- policies refuse the line after this trigger, and nothing of the receipt is to be told before.
  if not found then
    return v_line;
  end if;

  if v_status <> 'draft' then
    raise exception 'changing a line of purchase receipt %: it is approved', v_line.receipt_id
      using errcode = 'PT409', hint = 'Write another receipt.';
  end if;

  if tg_op = 'INSERT' and (
    select count(*) >= 200
    from public.purchase_receipt_lines as l
    where l.business_id = v_line.business_id and l.receipt_id = v_line.receipt_id
  ) then
    raise exception 'adding a line to purchase receipt %: it has 200, the most there may be', v_line.receipt_id
      using errcode = 'PT409', hint = 'Write another receipt.';
  end if;

  return v_line;
end;
$$;

comment on function public.purchase_receipt_lines_need_a_draft() is
  'SQLSTATE PT409: the receipt of a line is approved, or has 200 lines.';

create trigger purchase_receipt_lines_need_a_draft
  before insert or update or delete on public.purchase_receipt_lines
  for each row execute function public.purchase_receipt_lines_need_a_draft();

alter table public.purchase_receipts enable row level security;
alter table public.purchase_receipt_lines enable row level security;

create policy purchase_receipts_select_as_member on public.purchase_receipts
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy purchase_receipts_insert_as_member on public.purchase_receipts
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy purchase_receipts_delete_draft_as_member on public.purchase_receipts
  for delete to authenticated
  using (business_id in (select public.my_business_ids()) and status = 'draft');

create policy purchase_receipt_lines_select_as_member on public.purchase_receipt_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy purchase_receipt_lines_insert_as_member on public.purchase_receipt_lines
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy purchase_receipt_lines_update_as_member on public.purchase_receipt_lines
  for update to authenticated
  using (business_id in (select public.my_business_ids()))
  with check (business_id in (select public.my_business_ids()));
create policy purchase_receipt_lines_delete_as_member on public.purchase_receipt_lines
  for delete to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.purchase_receipts, public.purchase_receipt_lines
  from public, anon, authenticated, service_role;
revoke all on function public.purchase_receipt_lines_need_a_draft() from public, anon, authenticated, service_role;
grant select, insert (id, business_id, location_id, supplier), delete on public.purchase_receipts to authenticated;
grant select, insert, update (quantity), delete on public.purchase_receipt_lines to authenticated;
grant select on public.purchase_receipts, public.purchase_receipt_lines to service_role;

create function public.pos_approve_receipt(p_receipt_id uuid) returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_receipt public.purchase_receipts;
  v_lines public.pos_line[];
begin
  select r.* into v_receipt
  from public.purchase_receipts as r
  where r.id = p_receipt_id and public.my_role_in(r.business_id) is not null
  for no key update;

  if not found then
    perform public.pos_refuse(
      404, 'RECEIPT_NOT_FOUND', 'Purchase receipt not found',
      format('There is no purchase receipt %s in a business of yours: check the id', p_receipt_id)
    );
  end if;

  if public.my_role_in(v_receipt.business_id) not in ('owner', 'manager') then
    perform public.pos_refuse(
      403, 'ROLE_REQUIRED', 'Role required',
      'Approving a purchase receipt takes a manager or the owner of the business: ask one of them'
    );
  end if;

  if v_receipt.status <> 'draft' then
    perform public.pos_refuse(
      409, 'RECEIPT_NOT_DRAFT', 'Purchase receipt not a draft',
      format('Purchase receipt %s has been approved already, as %s', v_receipt.id, v_receipt.number),
      jsonb_build_object('state', v_receipt.status, 'number', v_receipt.number)
    );
  end if;

  select array_agg(row(l.product_id, l.quantity)::public.pos_line order by l.product_id) into v_lines
  from public.purchase_receipt_lines as l
  where l.business_id = v_receipt.business_id and l.receipt_id = v_receipt.id;

  if v_lines is null then
    perform public.pos_refuse(
      409, 'RECEIPT_EMPTY', 'Purchase receipt empty',
      format('Purchase receipt %s has no lines: add what was delivered', v_receipt.id)
    );
  end if;

  perform public.pos_move_stock(v_receipt.business_id, v_receipt.location_id, v_receipt.id, 'receipt', v_lines);

  update public.purchase_receipts as r
  set
    status = 'approved',
    number = public.get_next_receipt_number(r.business_id),
    approved_by = auth.uid(),
    approved_at = now()
  where r.id = v_receipt.id
  returning r.* into v_receipt;

  return json_build_object(
    'receiptId', v_receipt.id,
    'number', v_receipt.number,
    'locationId', v_receipt.location_id,
    'status', v_receipt.status,
    'lines', (
      select json_agg(json_build_object('productId', l.product_id, 'quantity', l.quantity) order by l.product_id)
      from unnest(v_lines) as l
    ),
    'approvedAt', v_receipt.approved_at
  );
end;
$$;

comment on function public.pos_approve_receipt(uuid) is
  'Brings the goods of a draft into stock and gives it its number.';

revoke all on function public.pos_approve_receipt(uuid) from public, anon, authenticated, service_role;

-- Transfers between two locations of a business: a draft through the API, then sent, then received.
-- What has been sent and not received is on the way: no location's stock has it.

create table public.transfers (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  from_location_id uuid not null,
  to_location_id uuid not null,
  status text not null default 'draft',
  number text,
  created_by uuid not null default auth.uid(),
  created_at timestamptz not null default now(),
  sent_by uuid,
  sent_at timestamptz,
  received_by uuid,
  received_at timestamptz,
  constraint transfers_pkey primary key (id),
  constraint transfers_business_id_id_key unique (business_id, id),
  constraint transfers_business_id_number_key unique (business_id, number),
  constraint transfers_from_location_fkey foreign key (business_id, from_location_id)
    references public.locations (business_id, id),
  constraint transfers_to_location_fkey foreign key (business_id, to_location_id)
    references public.locations (business_id, id),
  constraint transfers_go_to_another_location check (from_location_id <> to_location_id),
  constraint transfers_status_is_known check (status in ('draft', 'sent', 'received')),
  constraint transfers_number_is_a_transfer_number check (number ~ '^TRF-[0-9]{6}-[0-9]{4,}$'),
  constraint transfers_only_sent_has_number_and_sender check (
    num_nonnulls(number, sent_by, sent_at) = case when status = 'draft' then 0 else 3 end
  ),
  constraint transfers_only_received_has_receiver check (
    num_nonnulls(received_by, received_at) = case when status = 'received' then 2 else 0 end
  )
);

comment on table public.transfers is 'Goods on their way from one location to another.';
comment on column public.transfers.number is 'Given when it is sent, so that a draft which is thrown away leaves no gap.';

create index transfers_business_id_from_location_id_idx on public.transfers (business_id, from_location_id);
create index transfers_business_id_to_location_id_idx on public.transfers (business_id, to_location_id);

create table public.transfer_lines (
  business_id uuid not null,
  transfer_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  constraint transfer_lines_pkey primary key (business_id, transfer_id, product_id),
  constraint transfer_lines_transfer_fkey foreign key (business_id, transfer_id)
    references public.transfers (business_id, id) on delete cascade,
  constraint transfer_lines_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint transfer_lines_quantity_is_1_to_1000000 check (quantity between 1 and 1000000)
);

comment on table public.transfer_lines is 'What is transferred.';

create index transfer_lines_business_id_product_id_idx on public.transfer_lines (business_id, product_id);

-- For the reasons given with purchase_receipt_lines_need_a_draft.
create function public.transfer_lines_need_a_draft() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_line constant public.transfer_lines := case when tg_op = 'DELETE' then old else new end;
  v_status text;
begin
  select t.status into v_status
  from public.transfers as t
  where t.business_id = v_line.business_id and t.id = v_line.transfer_id
    and (auth.uid() is null or public.my_role_in(t.business_id) is not null)
  for no key update;

  if not found then
    return v_line;
  end if;

  if v_status <> 'draft' then
    raise exception 'changing a line of transfer %: it is %', v_line.transfer_id, v_status
      using errcode = 'PT409', hint = 'Write another transfer.';
  end if;

  if tg_op = 'INSERT' and (
    select count(*) >= 200
    from public.transfer_lines as l
    where l.business_id = v_line.business_id and l.transfer_id = v_line.transfer_id
  ) then
    raise exception 'adding a line to transfer %: it has 200, the most there may be', v_line.transfer_id
      using errcode = 'PT409', hint = 'Write another transfer.';
  end if;

  return v_line;
end;
$$;

comment on function public.transfer_lines_need_a_draft() is
  'SQLSTATE PT409: the transfer of a line has been sent, or has 200 lines.';

create trigger transfer_lines_need_a_draft
  before insert or update or delete on public.transfer_lines
  for each row execute function public.transfer_lines_need_a_draft();

alter table public.transfers enable row level security;
alter table public.transfer_lines enable row level security;

create policy transfers_select_as_member on public.transfers
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy transfers_insert_as_member on public.transfers
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy transfers_delete_draft_as_member on public.transfers
  for delete to authenticated
  using (business_id in (select public.my_business_ids()) and status = 'draft');

create policy transfer_lines_select_as_member on public.transfer_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy transfer_lines_insert_as_member on public.transfer_lines
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy transfer_lines_update_as_member on public.transfer_lines
  for update to authenticated
  using (business_id in (select public.my_business_ids()))
  with check (business_id in (select public.my_business_ids()));
create policy transfer_lines_delete_as_member on public.transfer_lines
  for delete to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.transfers, public.transfer_lines from public, anon, authenticated, service_role;
revoke all on function public.transfer_lines_need_a_draft() from public, anon, authenticated, service_role;
grant select, insert (id, business_id, from_location_id, to_location_id), delete on public.transfers to authenticated;
grant select, insert, update (quantity), delete on public.transfer_lines to authenticated;
grant select on public.transfers, public.transfer_lines to service_role;

-- Sending a transfer takes its goods out of stock at the source and gives it its number; receiving it
-- brings them in at the destination. Either way, whoever is second finds another status.

create function public.pos_move_transfer(p_transfer_id uuid, p_to_status text) returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_from_status constant text := case p_to_status when 'sent' then 'draft' else 'sent' end;
  v_transfer public.transfers;
  v_lines public.pos_line[];
begin
  select t.* into v_transfer
  from public.transfers as t
  where t.id = p_transfer_id and public.my_role_in(t.business_id) is not null
  for no key update;

  if not found then
    perform public.pos_refuse(
      404, 'TRANSFER_NOT_FOUND', 'Transfer not found',
      format('There is no transfer %s in a business of yours: check the id', p_transfer_id)
    );
  end if;

  if v_transfer.status <> v_from_status then
    perform public.pos_refuse(
      409, 'TRANSFER_NOT_' || upper(v_from_status), 'Transfer not in the right state',
      format('Transfer %s is %s: only one that is %s can be %s', v_transfer.id, v_transfer.status, v_from_status, p_to_status),
      jsonb_build_object('state', v_transfer.status, 'number', v_transfer.number)
    );
  end if;

  select array_agg(row(l.product_id, l.quantity)::public.pos_line order by l.product_id) into v_lines
  from public.transfer_lines as l
  where l.business_id = v_transfer.business_id and l.transfer_id = v_transfer.id;

  if v_lines is null then
    perform public.pos_refuse(
      409, 'TRANSFER_EMPTY', 'Transfer empty',
      format('Transfer %s has no lines: add what is transferred', v_transfer.id)
    );
  end if;

  perform public.pos_move_stock(
    v_transfer.business_id,
    case p_to_status when 'sent' then v_transfer.from_location_id else v_transfer.to_location_id end,
    v_transfer.id, 'transfer_' || p_to_status, v_lines
  );

  if p_to_status = 'sent' then
    update public.transfers as t
    set status = 'sent', number = public.get_next_transfer_number(t.business_id), sent_by = auth.uid(), sent_at = now()
    where t.id = v_transfer.id
    returning t.* into v_transfer;
  else
    update public.transfers as t
    set status = 'received', received_by = auth.uid(), received_at = now()
    where t.id = v_transfer.id
    returning t.* into v_transfer;
  end if;

  return json_build_object(
    'transferId', v_transfer.id,
    'number', v_transfer.number,
    'fromLocationId', v_transfer.from_location_id,
    'toLocationId', v_transfer.to_location_id,
    'status', v_transfer.status,
    'lines', (
      select json_agg(json_build_object('productId', l.product_id, 'quantity', l.quantity) order by l.product_id)
      from unnest(v_lines) as l
    ),
    'sentAt', v_transfer.sent_at,
    'receivedAt', v_transfer.received_at
  );
end;
$$;

comment on function public.pos_move_transfer(uuid, text) is
  'Sends a draft, or receives what was sent, and moves its goods.';

revoke all on function public.pos_move_transfer(uuid, text) from public, anon, authenticated, service_role;

-- Every write of the point of sale: its effect, its answer and its key in one transaction.
--
-- security definer: the tables behind it are written through this function and no other way, so that
-- no document is without its number and no goods move without a document. Every effect therefore
-- begins by asking whether the caller is a member; what is not theirs is not found.
--
-- What a refusal does to the key:
--
--   recorded, and replayed    PT422: what the goods allowed at that moment. The till has shown it, and
--                             a late duplicate must not sell what the customer was told was not there.
--   the key stays free        PT404, PT403: nothing was asked of the goods; the request, or the caller's
--                             role, is mended and sent again. PT409: the document is not in the state
--                             for it, which another request may change. All of the transaction goes.
create function public.pos_perform(
  p_operation text,
  p_subject_id uuid default null,
  p_request jsonb default '{}',
  p_idempotency_key text default null,
  p_fingerprint text default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_answer public.idempotency_answer;
  v_detail text;
  v_refusal text;
begin
  if auth.uid() is null then
    raise exception 'point of sale: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token.';
  end if;

  if p_idempotency_key is not null then
    -- 3 days: a till that lost its network on Friday retries on Monday
    v_answer := idempotency.claim_in_transaction(p_operation, p_idempotency_key, p_fingerprint, 259200);

    if v_answer.outcome <> 'claimed' then
      return v_answer;
    end if;
  end if;

  begin
    v_answer.status_code := 200;
    v_answer.response_headers := '{"content-type": "application/json"}';

    case p_operation
      when 'pos/sales' then
        v_answer.status_code := 201;
        v_answer.response := public.pos_record_sale(p_request);
      when 'pos/sales/:id/refund' then
        v_answer.status_code := 201;
        v_answer.response := public.pos_refund_sale(p_subject_id, p_request);
      when 'pos/purchases/receipts/:id/approve' then
        v_answer.response := public.pos_approve_receipt(p_subject_id);
      when 'pos/transfers/:id/send' then
        v_answer.response := public.pos_move_transfer(p_subject_id, 'sent');
      when 'pos/transfers/:id/receive' then
        v_answer.response := public.pos_move_transfer(p_subject_id, 'received');
      else
        raise exception 'point of sale: there is no operation %', coalesce(quote_literal(left(p_operation, 100)), 'null')
          using errcode = '22023';
    end case;
  exception
    -- undoes this block only: the claim outside it stands, to be completed with the refusal
    when sqlstate 'PT422' then
      get stacked diagnostics v_detail = message_text, v_refusal = pg_exception_detail;
      v_answer.status_code := 422;
      v_answer.response_headers := '{"content-type": "application/problem+json"}';
      v_answer.response := jsonb_build_object(
        'type', 'urn:problem-type:' || replace(lower(v_refusal::jsonb ->> 'code'), '_', '-'),
        'title', v_refusal::jsonb ->> 'title',
        'status', 422,
        'detail', v_detail,
        'instance', '/' || replace(p_operation, ':id', coalesce(p_subject_id::text, '')),
        'code', v_refusal::jsonb ->> 'code',
        'retryable', false
      ) || (v_refusal::jsonb -> 'extensions');
  end;

  if p_idempotency_key is null then
    v_answer.outcome := 'completed';
    v_answer.response_encoding := 'text';
    return v_answer;
  end if;

  return idempotency.complete_in_transaction(p_operation, p_idempotency_key, v_answer);
end;
$$;

comment on function public.pos_perform(text, uuid, jsonb, text, text) is
  'Performs an operation of the point of sale, once per key where there is one: completed, replay, mismatch, …, with the answer. SQLSTATE PT403, PT404, PT409: refused, and the key is free.';

revoke all on function public.pos_perform(text, uuid, jsonb, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.pos_perform(text, uuid, jsonb, text, text) to authenticated;

-- Every number in use, for the queries that look for gaps and duplicates.

-- security_invoker: the reader's row level security decides which businesses are seen
create view public.v_document_numbers with (security_invoker = true) as
select
  d.business_id,
  d.kind,
  d.number,
  split_part(d.number, '-', 2) as period,
  split_part(d.number, '-', 3)::bigint as counter,
  d.document_id
from (
  select s.business_id, 'invoice' as kind, s.number, s.id as document_id
  from public.sales as s
  union all
  select r.business_id, 'return', r.number, r.id
  from public.refunds as r
  union all
  select r.business_id, 'receipt', r.number, r.id
  from public.purchase_receipts as r
  where r.number is not null
  union all
  select t.business_id, 'transfer', t.number, t.id
  from public.transfers as t
  where t.number is not null
) as d;

comment on view public.v_document_numbers is
  'One row per numbered document, over the businesses the reader may see; the number also in its parts.';

revoke all on table public.v_document_numbers from public, anon, authenticated, service_role;
grant select on table public.v_document_numbers to authenticated, service_role;
