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

-- An owner whose account ends is followed by the manager who has been there longest; where there is
-- none, the project says who, with the secret key.
create function public.business_has_lost_its_owner() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_next uuid;
begin
  loop
    -- not one who is leaving: they may be waiting for this to end
    select m.user_id into v_next
    from public.memberships as m
    where m.business_id = old.business_id and m.role = 'manager'
    order by m.created_at, m.user_id
    limit 1
    for no key update skip locked;

    exit when found;

    -- There is nobody else: what becomes of them is waited for. Two who are leaving and alone could
    -- follow each other wait for each other: the server tells one of the deadlock, who leaves when
    -- asked again. In one order of locks, whoever leaves would wait for everybody who does.
    perform from public.memberships as m
    where m.business_id = old.business_id and m.role = 'manager'
    limit 1
    for no key update;

    exit when not exists (
      select from public.memberships as m where m.business_id = old.business_id and m.role = 'manager'
    );
  end loop;

  update public.memberships as m
  set role = 'owner'
  where m.business_id = old.business_id and m.user_id = v_next;

  return null;
end;
$$;

create trigger business_has_lost_its_owner
  after delete on public.memberships
  for each row
  when (old.role = 'owner')
  execute function public.business_has_lost_its_owner();

revoke all on function public.business_has_lost_its_owner() from public, anon, authenticated, service_role;
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
  tax_rate integer not null default 0,
  zero_rated boolean not null default false,
  created_at timestamptz not null default now(),
  constraint products_pkey primary key (id),
  constraint products_business_id_id_key unique (business_id, id),
  constraint products_business_id_sku_key unique (business_id, sku),
  constraint products_sku_has_1_to_64_characters check (char_length(sku) between 1 and 64),
  -- a count is trimmed: it would be booked on the product without them, or on none
  constraint products_sku_has_no_blanks_around_it check (sku !~ '^\s|\s$'),
  constraint products_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  -- 200 lines of 10,000 pieces at the highest price stay below 2^53, up to which a JSON number is exact
  constraint products_price_is_0_to_4000000000 check (price between 0 and 4000000000),
  constraint products_tax_rate_is_0_to_10000 check (tax_rate between 0 and 10000),
  constraint products_zero_rated_have_no_tax check (not zero_rated or tax_rate = 0)
);

comment on column public.products.price is 'Of one piece, tax included, in the smallest unit of the business''s currency.';
comment on column public.products.tax_rate is 'Hundredths of a percent: 1900 is 19 %.';
comment on column public.products.zero_rated is
  'Taxed at a rate of zero, as exports are; without it, what has no tax rate is exempt.';
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
grant select, insert (id, business_id, sku, name, price, tax_rate, zero_rated),
  update (sku, name, price, tax_rate, zero_rated)
  on public.products to authenticated;
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

comment on table public.stock is 'How many pieces of a product a location holds; no row: none.';

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
  -- with the reason: clients choose the ids of drafts, and documents of two kinds may have one
  constraint stock_movements_document_moves_a_product_once_per_location
    unique (business_id, location_id, product_id, document_id, reason),
  constraint stock_movements_reason_is_known
    check (
      reason in (
        'sale', 'refund', 'receipt', 'supplier_return', 'transfer_sent', 'transfer_received', 'correction', 'count'
      )
    ),
  constraint stock_movements_go_the_way_of_their_reason check (
    case
      when reason in ('sale', 'supplier_return', 'transfer_sent') then quantity < 0
      when reason in ('correction', 'count') then quantity <> 0
      else quantity > 0
    end
  )
);

comment on table public.stock_movements is 'Goods that came or went, and the document that says why. Rows are added, never changed.';
comment on column public.stock_movements.quantity is 'Pieces: positive came in, negative went out.';
comment on column public.stock_movements.document_id is
  'The sale, refund, purchase receipt, supplier return, transfer, correction or count, as reason says.';

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

  select array_agg(row(l."productId", l.quantity)::public.pos_line) into v_lines
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
-- then stock rows by product, then the series of the permit, then the counter of document numbers. An
-- operation touches the stock of one location only.

-- The rows are locked, or made, in one pass by product. To lock those that there are would not do: one
-- that comes while others are waited for would be taken last.
create function public.pos_hold_stock(p_business_id uuid, p_location_id uuid, p_product_ids uuid[]) returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.stock as s (business_id, location_id, product_id, quantity)
  select p_business_id, p_location_id, p.id, 0
  from unnest(p_product_ids) as p (id)
  order by p.id
  -- locked all the same, and not written
  on conflict (business_id, location_id, product_id) do update set quantity = s.quantity where false;
$$;

comment on function public.pos_hold_stock(uuid, uuid, uuid[]) is
  'Locks the stock of products at a location until the end of the transaction, also where there is none yet.';

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
  v_direction constant integer := case when p_reason in ('sale', 'supplier_return', 'transfer_sent') then -1 else 1 end;
  v_short jsonb;
  v_constraint text;
begin
  if p_reason not in ('refund', 'receipt', 'transfer_received') then
    perform public.pos_hold_stock(
      p_business_id, p_location_id, array(select l.product_id from unnest(p_lines) as l)
    );

    -- A statement of its own: it sees what was committed while the one before waited for its locks.
    select jsonb_agg(
      jsonb_build_object(
        'productId', p.id, 'sku', p.sku, 'asked', abs(l.quantity), 'available', coalesce(s.quantity, 0)
      )
      order by p.sku
    )
    into v_short
    from unnest(p_lines) as l
    join public.products as p on p.business_id = p_business_id and p.id = l.product_id
    left join public.stock as s
      on s.business_id = p_business_id and s.location_id = p_location_id and s.product_id = l.product_id
    where coalesce(s.quantity, 0) + v_direction * l.quantity < 0;

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

revoke all on function
  public.pos_hold_stock(uuid, uuid, uuid[]),
  public.pos_move_stock(uuid, uuid, uuid, text, public.pos_line[])
  from public, anon, authenticated, service_role;

-- Money: what an amount holds of tax, and that documents add up.

create function public.pos_tax_in(p_amount bigint, p_tax_rate integer) returns bigint
language sql
immutable
security invoker
set search_path = ''
as $$ select (2 * p_amount * p_tax_rate + 10000 + p_tax_rate) / (2 * (10000 + p_tax_rate)); $$;

comment on function public.pos_tax_in(bigint, integer) is
  'The tax that an amount includes, rounded half up; the rate in hundredths of a percent.';

-- At the end of the transaction, when all of a document is there, whoever wrote it.
create function public.documents_add_up() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_table constant text := tg_argv[0];
  v_key constant text := tg_argv[1];
  v_row constant jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
  v_document record;
begin
  execute format(
    $query$
      select
        d.total, d.tax,
        (select row(coalesce(sum(l.total), 0), coalesce(sum(l.tax), 0))::text from public.%1$I as l
         where l.business_id = d.business_id and l.%3$I = d.id) as lines,
        (select coalesce(sum(p.amount), 0) from public.%2$I as p
         where p.business_id = d.business_id and p.%3$I = d.id) as paid
      from public.%4$I as d
      where d.business_id = $1 and d.id = $2
    $query$,
    rtrim(v_table, 's') || '_lines', rtrim(v_table, 's') || '_payments', v_key, v_table
  )
  into v_document
  using (v_row ->> 'business_id')::uuid, (v_row ->> case when tg_table_name = v_table then 'id' else v_key end)::uuid;

  if v_document.lines <> row(v_document.total, v_document.tax)::text or v_document.paid <> v_document.total then
    raise exception 'writing to %: total % and tax % have to be those of the lines, %, and of the payments, %',
      v_table, v_document.total, v_document.tax, v_document.lines, v_document.paid
      using errcode = '23514', constraint = v_table || '_add_up';
  end if;

  return null;
end;
$$;

comment on function public.documents_add_up() is
  'Compares a document''s total and tax with its lines and payments. SQLSTATE 23514: they differ.';

-- What was paid with, as a request says it; all in cash where it does not.
create function public.pos_payments(p_payments jsonb, p_total bigint) returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_paid bigint;
begin
  if p_payments is null then
    return case
      when p_total = 0 then '[]'::jsonb
      else jsonb_build_array(jsonb_build_object('method', 'cash', 'amount', p_total))
    end;
  end if;

  if jsonb_typeof(p_payments) <> 'array' or jsonb_array_length(p_payments) > 10 then
    raise exception 'reading payments: expected an array of at most 10' using errcode = '22023';
  end if;

  select coalesce(sum(p.amount), 0) into v_paid
  from jsonb_to_recordset(p_payments) as p (amount bigint);

  if v_paid <> p_total then
    perform public.pos_refuse(
      422, 'PAYMENTS_DIFFER', 'Payments differ from the total',
      format('The payments add up to %s and the total is %s: ask for the difference, and send them under a new key', v_paid, p_total),
      jsonb_build_object('total', p_total, 'paid', v_paid)
    );
  end if;

  return p_payments;
end;
$$;

comment on function public.pos_payments(jsonb, bigint) is
  'Reads [{"method", "amount", "tendered", "reference"}]. SQLSTATE PT422: they do not add up to the total; 22023: no such list.';

revoke all on function
  public.pos_tax_in(bigint, integer),
  public.documents_add_up(),
  public.pos_payments(jsonb, bigint)
  from public, anon, authenticated, service_role;

-- How a business is registered with the tax office, for its invoices, and the serial numbers that it
-- is permitted to give them. Written by pos_register_business alone.
--
-- A change is another version: what has been issued goes on showing the one that it was issued under.

create table public.tax_registrations (
  business_id uuid not null references public.businesses (id) on delete cascade,
  version integer not null,
  registered_name text not null,
  tin text not null,
  branch_code text not null,
  address text not null,
  vat_registered boolean not null,
  permit_number text not null,
  permit_issued_on date not null,
  first_serial bigint not null,
  last_serial bigint not null,
  accreditation_number text,
  accreditation_issued_on date,
  registered_by uuid not null,
  created_at timestamptz not null default now(),
  constraint tax_registrations_pkey primary key (business_id, version),
  constraint tax_registrations_business_id_version_permit_number_key unique (business_id, version, permit_number),
  constraint tax_registrations_registered_name_has_1_to_200_characters
    check (char_length(registered_name) between 1 and 200),
  constraint tax_registrations_tin_has_3_times_3_digits check (tin ~ '^[0-9]{3}-[0-9]{3}-[0-9]{3}$'),
  constraint tax_registrations_branch_code_has_3_or_5_digits check (branch_code ~ '^([0-9]{3}|[0-9]{5})$'),
  constraint tax_registrations_address_has_1_to_300_characters check (char_length(address) between 1 and 300),
  constraint tax_registrations_permit_number_has_1_to_50_characters check (char_length(permit_number) between 1 and 50),
  constraint tax_registrations_permit_issued_on_has_four_digits_of_year
    check (permit_issued_on between '2000-01-01' and '9999-12-31'),
  constraint tax_registrations_series_is_of_1_to_12_digits
    check (first_serial >= 1 and last_serial >= first_serial and last_serial <= 999999999999),
  constraint tax_registrations_accreditation_number_has_1_to_50_characters
    check (char_length(accreditation_number) between 1 and 50),
  constraint tax_registrations_accredited_on_has_four_digits_of_year
    check (accreditation_issued_on between '2000-01-01' and '9999-12-31'),
  constraint tax_registrations_accreditation_has_number_and_date
    check (num_nonnulls(accreditation_number, accreditation_issued_on) <> 1)
);

comment on table public.tax_registrations is
  'What the invoices of a business say of it; the highest version counts, the others are on invoices.';
comment on column public.tax_registrations.tin is 'Taxpayer identification number, without the branch code.';
comment on column public.tax_registrations.permit_number is 'Of the permit to use the point of sale.';
comment on column public.tax_registrations.last_serial is 'The last serial number that the permit allows.';
comment on column public.tax_registrations.accreditation_number is 'Of the software, where it has one.';
comment on column public.tax_registrations.registered_by is
  'Who wrote it. No foreign key: it stays on the books when the account goes.';

create table public.invoice_series (
  business_id uuid not null references public.businesses (id) on delete cascade,
  permit_number text not null,
  first_serial bigint not null,
  last_serial bigint not null,
  used_serial bigint not null,
  constraint invoice_series_pkey primary key (business_id, permit_number),
  constraint invoice_series_stay_within_the_permit check (used_serial between first_serial - 1 and last_serial)
)
-- each sale updates it in place
with (fillfactor = 70);

comment on table public.invoice_series is 'The last serial number given to an invoice, per permit.';

alter table public.tax_registrations enable row level security;
alter table public.invoice_series enable row level security;

create policy tax_registrations_select_as_member on public.tax_registrations
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy invoice_series_select_as_member on public.invoice_series
  for select to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.tax_registrations, public.invoice_series from public, anon, authenticated, service_role;
grant select on public.tax_registrations, public.invoice_series to authenticated, service_role;

create function public.pos_register_business(p_business_id uuid, p_request jsonb) returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_permit constant jsonb := p_request -> 'permit';
  v_role text;
  v_series public.invoice_series;
  v_registration public.tax_registrations;
begin
  -- one after the other, so that each has a version of its own
  perform
  from public.businesses as b
  where b.id = p_business_id and public.my_role_in(b.id) is not null
  for no key update;

  v_role := public.my_role_in(p_business_id);

  if v_role is null then
    perform public.pos_refuse(
      404, 'BUSINESS_NOT_FOUND', 'Business not found',
      format('There is no business %s of yours: check the id', p_business_id)
    );
  end if;

  if v_role <> 'owner' then
    perform public.pos_refuse(
      403, 'ROLE_REQUIRED', 'Role required', 'Registering a business takes its owner: ask them'
    );
  end if;

  insert into public.invoice_series as s (business_id, permit_number, first_serial, last_serial, used_serial)
  values (
    p_business_id, v_permit ->> 'number', (v_permit ->> 'firstSerial')::bigint, (v_permit ->> 'lastSerial')::bigint,
    (v_permit ->> 'firstSerial')::bigint - 1
  )
  on conflict (business_id, permit_number) do update
  set
    first_serial = excluded.first_serial,
    last_serial = excluded.last_serial,
    used_serial = case when s.used_serial < s.first_serial then excluded.used_serial else s.used_serial end
  -- what has been given out stays in the series, and at its start
  where s.used_serial < s.first_serial
    or (excluded.first_serial = s.first_serial and excluded.last_serial >= s.used_serial)
  returning * into v_series;

  if not found then
    select s.* into v_series
    from public.invoice_series as s
    where s.business_id = p_business_id and s.permit_number = v_permit ->> 'number';

    perform public.pos_refuse(
      409, 'SERIES_IN_USE', 'Series in use',
      format(
        'Invoices %s to %s are issued under permit %s: its series has to start there and hold them',
        v_series.first_serial, v_series.used_serial, v_series.permit_number
      ),
      jsonb_build_object('firstSerial', v_series.first_serial, 'usedSerial', v_series.used_serial)
    );
  end if;

  insert into public.tax_registrations (
    business_id, version, registered_name, tin, branch_code, address, vat_registered, permit_number, permit_issued_on,
    first_serial, last_serial, accreditation_number, accreditation_issued_on, registered_by
  )
  values (
    p_business_id,
    (select coalesce(max(r.version), 0) + 1 from public.tax_registrations as r where r.business_id = p_business_id),
    p_request ->> 'registeredName', p_request ->> 'tin', p_request ->> 'branchCode', p_request ->> 'address',
    (p_request ->> 'vatRegistered')::boolean, v_series.permit_number, (v_permit ->> 'issuedOn')::date,
    v_series.first_serial, v_series.last_serial,
    p_request -> 'accreditation' ->> 'number', (p_request -> 'accreditation' ->> 'issuedOn')::date, auth.uid()
  )
  returning * into v_registration;

  return json_build_object(
    'businessId', p_business_id,
    'version', v_registration.version,
    'seller', public.pos_seller(v_registration),
    'usedSerial', v_series.used_serial,
    'createdAt', v_registration.created_at
  );
end;
$$;

comment on function public.pos_register_business(uuid, jsonb) is
  'Writes what later invoices of a business say of it. SQLSTATE PT403: not its owner; PT409: the series leaves out serial numbers in use.';

create function public.pos_seller(p_registration public.tax_registrations) returns json
language sql
stable
security invoker
set search_path = ''
as $$
  select json_build_object(
    'registeredName', p_registration.registered_name,
    'tin', p_registration.tin,
    'branchCode', p_registration.branch_code,
    'address', p_registration.address,
    'vatRegistered', p_registration.vat_registered,
    'permit', json_build_object(
      'number', p_registration.permit_number,
      'issuedOn', p_registration.permit_issued_on,
      'firstSerial', p_registration.first_serial,
      'lastSerial', p_registration.last_serial
    ),
    'accreditation', case
      when p_registration.accreditation_number is not null then json_build_object(
        'number', p_registration.accreditation_number, 'issuedOn', p_registration.accreditation_issued_on
      )
    end
  );
$$;

comment on function public.pos_seller(public.tax_registrations) is 'A registration as invoices show it.';

-- The caller rolls back what it does not write: a serial number is used by its invoice or by nothing.
create function public.pos_next_serial(p_business_id uuid, p_permit_number text) returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_serial bigint;
  v_last_serial bigint;
begin
  update public.invoice_series as s
  set used_serial = s.used_serial + 1
  where s.business_id = p_business_id and s.permit_number = p_permit_number and s.used_serial < s.last_serial
  returning s.used_serial into v_serial;

  if not found then
    select s.last_serial into v_last_serial
    from public.invoice_series as s
    where s.business_id = p_business_id and s.permit_number = p_permit_number;

    perform public.pos_refuse(
      409, 'SERIES_USED_UP', 'Permitted series used up',
      format(
        'Permit %s allows invoices up to serial number %s, and all are issued: have the owner register another permit or a longer series, then send the sale again',
        p_permit_number, v_last_serial
      ),
      jsonb_build_object('permitNumber', p_permit_number, 'lastSerial', v_last_serial)
    );
  end if;

  return v_serial;
end;
$$;

comment on function public.pos_next_serial(uuid, text) is
  'Counts on within the series of a permit. SQLSTATE PT409: it is used up.';

revoke all on function
  public.pos_register_business(uuid, jsonb),
  public.pos_seller(public.tax_registrations),
  public.pos_next_serial(uuid, text)
  from public, anon, authenticated, service_role;
-- the view of invoices calls it as who reads
grant execute on function public.pos_seller(public.tax_registrations) to authenticated, service_role;

-- Sales. Written by pos_record_sale alone: the API only reads them.

create table public.sales (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  location_id uuid not null,
  number text not null,
  currency text not null,
  total bigint not null,
  tax bigint not null,
  sold_by uuid not null,
  registration_version integer,
  permit_number text,
  serial bigint,
  buyer_name text,
  buyer_tin text,
  buyer_address text,
  created_at timestamptz not null default now(),
  constraint sales_pkey primary key (id),
  constraint sales_business_id_id_key unique (business_id, id),
  constraint sales_business_id_number_key unique (business_id, number),
  constraint sales_business_id_permit_number_serial_key unique (business_id, permit_number, serial),
  constraint sales_location_fkey foreign key (business_id, location_id)
    references public.locations (business_id, id),
  constraint sales_number_is_an_invoice_number check (number ~ '^INV-[0-9]{6}-[0-9]{4,}$'),
  constraint sales_currency_is_3_uppercase_letters check (currency ~ '^[A-Z]{3}$'),
  constraint sales_total_is_0_to_what_json_holds_exactly check (total between 0 and 9007199254740991),
  constraint sales_tax_is_a_part_of_the_total check (tax between 0 and total),
  constraint sales_registration_fkey foreign key (business_id, registration_version, permit_number)
    references public.tax_registrations (business_id, version, permit_number),
  constraint sales_have_registration_and_serial_or_neither
    check (num_nonnulls(registration_version, permit_number, serial) in (0, 3)),
  constraint sales_buyer_name_has_1_to_200_characters check (char_length(buyer_name) between 1 and 200),
  constraint sales_buyer_tin_has_3_times_3_digits_and_a_branch
    check (buyer_tin ~ '^[0-9]{3}-[0-9]{3}-[0-9]{3}(-([0-9]{3}|[0-9]{5}))?$'),
  constraint sales_buyer_address_has_1_to_300_characters check (char_length(buyer_address) between 1 and 300)
);

comment on table public.sales is 'What was sold, with the number of its invoice.';
comment on column public.sales.total is 'The sum of the lines, in the smallest unit of the currency.';
comment on column public.sales.tax is 'What the total holds of tax: the sum of the lines''.';
comment on column public.sales.registration_version is
  'What the invoice says of the seller; null: the business was not registered.';
comment on column public.sales.serial is 'Of the invoice, in the series of the permit.';
comment on column public.sales.sold_by is
  'Who recorded it. No foreign key: the sale stays on the books when the account goes.';

create index sales_business_id_location_id_idx on public.sales (business_id, location_id);
create index sales_registration_idx on public.sales (business_id, registration_version, permit_number);

create table public.sale_lines (
  business_id uuid not null,
  sale_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  unit_price bigint not null,
  tax_rate integer not null,
  zero_rated boolean not null default false,
  name text not null,
  total bigint not null generated always as (quantity * unit_price) stored,
  tax bigint not null generated always as (public.pos_tax_in(quantity * unit_price, tax_rate)) stored,
  refunded_quantity integer not null default 0,
  constraint sale_lines_pkey primary key (business_id, sale_id, product_id),
  constraint sale_lines_sale_fkey foreign key (business_id, sale_id)
    references public.sales (business_id, id),
  constraint sale_lines_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint sale_lines_quantity_is_1_to_10000 check (quantity between 1 and 10000),
  constraint sale_lines_unit_price_is_0_to_4000000000 check (unit_price between 0 and 4000000000),
  constraint sale_lines_tax_rate_is_0_to_10000 check (tax_rate between 0 and 10000),
  constraint sale_lines_zero_rated_have_no_tax check (not zero_rated or tax_rate = 0),
  constraint sale_lines_name_has_1_to_200_characters check (char_length(name) between 1 and 200),
  constraint sale_lines_refunded_is_never_more_than_sold check (refunded_quantity between 0 and quantity)
);

comment on column public.sale_lines.unit_price is 'What one piece cost when it was sold, tax included.';
comment on column public.sale_lines.tax_rate is 'Of the product when it was sold, in hundredths of a percent.';
comment on column public.sale_lines.name is 'Of the product when it was sold: what the invoice calls it.';
comment on table public.sale_lines is 'The products of a sale, and how many of them came back.';

create index sale_lines_business_id_product_id_idx on public.sale_lines (business_id, product_id);

create table public.sale_payments (
  business_id uuid not null,
  sale_id uuid not null,
  position integer not null,
  method text not null,
  amount bigint not null,
  tendered bigint,
  change bigint generated always as (tendered - amount) stored,
  reference text,
  constraint sale_payments_pkey primary key (business_id, sale_id, position),
  constraint sale_payments_sale_fkey foreign key (business_id, sale_id)
    references public.sales (business_id, id),
  constraint sale_payments_method_is_known check (method in ('cash', 'card', 'transfer', 'voucher')),
  constraint sale_payments_amount_is_positive check (amount > 0),
  constraint sale_payments_only_cash_is_tendered
    check (tendered is null or (method = 'cash' and tendered between amount and 9007199254740991)),
  constraint sale_payments_reference_has_1_to_100_characters check (char_length(reference) between 1 and 100)
);

comment on table public.sale_payments is 'What a sale was paid with; together its total.';
comment on column public.sale_payments.tendered is 'What was handed over in cash.';
comment on column public.sale_payments.reference is 'What names the payment elsewhere, for instance at the card''s terminal.';

create constraint trigger sales_add_up
  after insert or update of total, tax on public.sales
  deferrable initially deferred
  for each row execute function public.documents_add_up('sales', 'sale_id');
create constraint trigger sale_lines_add_up
  after insert or delete or update of sale_id, quantity, unit_price, tax_rate on public.sale_lines
  deferrable initially deferred
  for each row execute function public.documents_add_up('sales', 'sale_id');
create constraint trigger sale_payments_add_up
  after insert or delete or update of sale_id, amount on public.sale_payments
  deferrable initially deferred
  for each row execute function public.documents_add_up('sales', 'sale_id');

alter table public.sales enable row level security;
alter table public.sale_lines enable row level security;
alter table public.sale_payments enable row level security;

create policy sales_select_as_member on public.sales
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy sale_lines_select_as_member on public.sale_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy sale_payments_select_as_member on public.sale_payments
  for select to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.sales, public.sale_lines, public.sale_payments from public, anon, authenticated, service_role;
grant select on public.sales, public.sale_lines, public.sale_payments to authenticated, service_role;

-- What an invoice says beside lines and payments, for whoever prints it: in one place, made of what is
-- never changed.
--
-- security_invoker: the reader's row level security decides which are seen
create view public.v_invoices with (security_invoker = true) as
select
  s.business_id,
  s.id as sale_id,
  json_build_object(
    'serialNumber', lpad(s.serial::text, length(r.last_serial::text), '0'),
    'seller', case when s.serial is not null then public.pos_seller(r) end,
    'buyer', case
      when num_nonnulls(s.buyer_name, s.buyer_tin, s.buyer_address) > 0
      then json_build_object('name', s.buyer_name, 'tin', s.buyer_tin, 'address', s.buyer_address)
    end,
    'vatableSales', l.vatable,
    'vatAmount', s.tax,
    'zeroRatedSales', l.zero_rated,
    'exemptSales', s.total - s.tax - l.vatable - l.zero_rated
  ) as invoice
from public.sales as s
left join public.tax_registrations as r on r.business_id = s.business_id and r.version = s.registration_version
cross join lateral (
  select
    coalesce(sum(l.total - l.tax) filter (where l.tax_rate > 0), 0)::bigint as vatable,
    coalesce(sum(l.total) filter (where l.zero_rated), 0)::bigint as zero_rated
  from public.sale_lines as l
  where l.business_id = s.business_id and l.sale_id = s.id
) as l;

comment on view public.v_invoices is
  'Of each sale: serial number, seller and buyer as they were then, and what was vatable, zero-rated and exempt.';

revoke all on table public.v_invoices from public, anon, authenticated, service_role;
grant select on public.v_invoices to authenticated, service_role;

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
  v_priced jsonb;
  v_total bigint;
  v_payments jsonb;
  v_permit_number text;
  v_serial bigint;
  v_registration public.tax_registrations;
  v_sale public.sales;
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

  -- once, so that total and lines are made of the same prices
  select
    jsonb_agg(
      jsonb_build_object(
        'product_id', l.product_id, 'quantity', l.quantity, 'unit_price', p.price, 'tax_rate', p.tax_rate,
        'zero_rated', p.zero_rated, 'name', p.name
      )
    ),
    sum(l.quantity * p.price)
  into v_priced, v_total
  from unnest(v_lines) as l
  join public.products as p on p.business_id = v_business_id and p.id = l.product_id;

  v_payments := public.pos_payments(p_request -> 'payments', v_total);

  select r.permit_number into v_permit_number
  from public.tax_registrations as r
  where r.business_id = v_business_id
  order by r.version desc
  limit 1;

  if found then
    v_serial := public.pos_next_serial(v_business_id, v_permit_number);

    -- Not before: it may have waited for another version, which says other things of the series. From
    -- here on such a version waits for this sale.
    select r.* into v_registration
    from public.tax_registrations as r
    where r.business_id = v_business_id and r.permit_number = v_permit_number
    order by r.version desc
    limit 1;
  end if;

  if v_registration.vat_registered is false and v_priced @? '$[*] ? (@.tax_rate > 0 || @.zero_rated == true)' then
    perform public.pos_refuse(
      409, 'NOT_VAT_REGISTERED', 'Not registered for VAT',
      'The business is not registered for VAT, and what is sold is taxed or zero-rated: set tax_rate of the products to 0 and zero_rated to false, then send the sale again'
    );
  end if;

  insert into public.sales (
    id, business_id, location_id, registration_version, permit_number, serial, number, currency, total, tax, sold_by,
    buyer_name, buyer_tin, buyer_address
  )
  select
    v_sale_id, v_business_id, v_location_id, v_registration.version, v_permit_number, v_serial,
    public.get_next_invoice_number(v_business_id), b.currency, v_total,
    (
      select sum(public.pos_tax_in(p.quantity * p.unit_price, p.tax_rate))
      from jsonb_to_recordset(v_priced) as p (quantity integer, unit_price bigint, tax_rate integer)
    ),
    auth.uid(),
    p_request -> 'buyer' ->> 'name', p_request -> 'buyer' ->> 'tin', p_request -> 'buyer' ->> 'address'
  from public.businesses as b
  where b.id = v_business_id
  returning * into v_sale;

  insert into public.sale_lines (business_id, sale_id, product_id, quantity, unit_price, tax_rate, zero_rated, name)
  select v_business_id, v_sale_id, p.*
  from jsonb_to_recordset(v_priced)
    as p (product_id uuid, quantity integer, unit_price bigint, tax_rate integer, zero_rated boolean, name text);

  insert into public.sale_payments (business_id, sale_id, method, amount, tendered, reference, position)
  select v_business_id, v_sale_id, p.*
  from rows from (
    jsonb_to_recordset(v_payments) as (method text, amount bigint, tendered bigint, reference text)
  ) with ordinality as p;

  return json_build_object(
    'saleId', v_sale.id,
    'number', v_sale.number,
    'locationId', v_sale.location_id,
    'currency', v_sale.currency,
    'total', v_sale.total,
    'tax', v_sale.tax,
    'lines', (
      select json_agg(
        json_build_object(
          'productId', l.product_id, 'name', l.name, 'quantity', l.quantity, 'unitPrice', l.unit_price,
          'taxRate', l.tax_rate, 'total', l.total, 'tax', l.tax
        )
        order by l.product_id
      )
      from public.sale_lines as l
      where l.business_id = v_business_id and l.sale_id = v_sale_id
    ),
    'payments', (
      select coalesce(
        json_agg(
          json_build_object(
            'method', p.method, 'amount', p.amount, 'tendered', p.tendered, 'change', p.change, 'reference', p.reference
          )
          order by p.position
        ),
        '[]'
      )
      from public.sale_payments as p
      where p.business_id = v_business_id and p.sale_id = v_sale_id
    ),
    'invoice', (
      select i.invoice from public.v_invoices as i where i.business_id = v_business_id and i.sale_id = v_sale_id
    ),
    'createdAt', v_sale.created_at
  );
end;
$$;

comment on function public.pos_record_sale(jsonb) is
  'Takes the goods of a sale out of stock and writes its invoice. Request: locationId, lines of productId and quantity, payments, buyer.';

revoke all on function public.pos_record_sale(jsonb) from public, anon, authenticated, service_role;

-- Refunds: goods that come back to where they were sold, and the money for them.

create table public.refunds (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  sale_id uuid not null,
  number text not null,
  total bigint not null,
  tax bigint not null,
  refunded_by uuid not null,
  created_at timestamptz not null default now(),
  constraint refunds_pkey primary key (id),
  constraint refunds_business_id_id_key unique (business_id, id),
  constraint refunds_business_id_id_sale_id_key unique (business_id, id, sale_id),
  constraint refunds_business_id_number_key unique (business_id, number),
  constraint refunds_sale_fkey foreign key (business_id, sale_id)
    references public.sales (business_id, id),
  constraint refunds_number_is_a_return_number check (number ~ '^RET-[0-9]{6}-[0-9]{4,}$'),
  constraint refunds_total_is_0_to_what_json_holds_exactly check (total between 0 and 9007199254740991),
  constraint refunds_tax_is_a_part_of_the_total check (tax between 0 and total)
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
  tax bigint not null,
  constraint refund_lines_pkey primary key (business_id, refund_id, sale_id, product_id),
  constraint refund_lines_refund_fkey foreign key (business_id, refund_id, sale_id)
    references public.refunds (business_id, id, sale_id),
  constraint refund_lines_sale_line_fkey foreign key (business_id, sale_id, product_id)
    references public.sale_lines (business_id, sale_id, product_id),
  constraint refund_lines_quantity_is_1_to_10000 check (quantity between 1 and 10000)
);

comment on table public.refund_lines is 'Which products of the sale came back, and how many.';
comment on column public.refund_lines.total is 'Set by the trigger: the pieces at the price they were sold at.';
comment on column public.refund_lines.tax is
  'Set by the trigger: what the tax of all that came back grows by, so that it ends as that of the sale.';

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
  returning
    new.quantity * l.unit_price,
    public.pos_tax_in(l.refunded_quantity * l.unit_price, l.tax_rate)
      - public.pos_tax_in((l.refunded_quantity - new.quantity) * l.unit_price, l.tax_rate)
  into new.total, new.tax;

  return new;
end;
$$;

comment on function public.refund_lines_count_at_the_sale() is
  'Counts what came back at the line of the sale, and prices it. SQLSTATE 23514: more than was sold.';

create trigger refund_lines_count_at_the_sale
  before insert on public.refund_lines
  for each row execute function public.refund_lines_count_at_the_sale();

create table public.refund_payments (
  business_id uuid not null,
  refund_id uuid not null,
  position integer not null,
  method text not null,
  amount bigint not null,
  reference text,
  constraint refund_payments_pkey primary key (business_id, refund_id, position),
  constraint refund_payments_refund_fkey foreign key (business_id, refund_id)
    references public.refunds (business_id, id),
  constraint refund_payments_method_is_known check (method in ('cash', 'card', 'transfer', 'voucher')),
  constraint refund_payments_amount_is_positive check (amount > 0),
  constraint refund_payments_reference_has_1_to_100_characters check (char_length(reference) between 1 and 100)
);

comment on table public.refund_payments is 'How the money of a refund was given back; together its total.';

create constraint trigger refunds_add_up
  after insert or update of total, tax on public.refunds
  deferrable initially deferred
  for each row execute function public.documents_add_up('refunds', 'refund_id');
create constraint trigger refund_lines_add_up
  after insert or delete or update of refund_id, total, tax on public.refund_lines
  deferrable initially deferred
  for each row execute function public.documents_add_up('refunds', 'refund_id');
create constraint trigger refund_payments_add_up
  after insert or delete or update of refund_id, amount on public.refund_payments
  deferrable initially deferred
  for each row execute function public.documents_add_up('refunds', 'refund_id');

alter table public.refunds enable row level security;
alter table public.refund_lines enable row level security;
alter table public.refund_payments enable row level security;

create policy refunds_select_as_member on public.refunds
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy refund_lines_select_as_member on public.refund_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy refund_payments_select_as_member on public.refund_payments
  for select to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.refunds, public.refund_lines, public.refund_payments
  from public, anon, authenticated, service_role;
revoke all on function public.refund_lines_count_at_the_sale() from public, anon, authenticated, service_role;
grant select on public.refunds, public.refund_lines, public.refund_payments to authenticated, service_role;

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
  v_total bigint;
  v_tax bigint;
  v_payments jsonb;
  v_refund public.refunds;
begin
  select s.* into v_sale
  from public.sales as s
  where s.id = p_sale_id and public.my_role_in(s.business_id) is not null
  for no key update;

  -- Once more: the membership may have ended while the sale was waited for.
  if not found or public.my_role_in(v_sale.business_id) is null then
    perform public.pos_refuse(
      404, 'SALE_NOT_FOUND', 'Sale not found',
      format('There is no sale %s in a business of yours: check the id', p_sale_id)
    );
  end if;

  if p_request ? 'lines' then
    v_lines := public.pos_lines(p_request -> 'lines');
  else
    select array_agg(row(l.product_id, l.quantity - l.refunded_quantity)::public.pos_line)
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

  -- The sale is locked: nothing else of it comes back meanwhile.
  select
    sum(l.quantity * s.unit_price),
    sum(
      public.pos_tax_in((s.refunded_quantity + l.quantity) * s.unit_price, s.tax_rate)
        - public.pos_tax_in(s.refunded_quantity * s.unit_price, s.tax_rate)
    )
  into v_total, v_tax
  from unnest(v_lines) as l
  join public.sale_lines as s
    on s.business_id = v_sale.business_id and s.sale_id = v_sale.id and s.product_id = l.product_id;

  v_payments := public.pos_payments(p_request -> 'payments', v_total);

  insert into public.refunds (id, business_id, sale_id, number, total, tax, refunded_by)
  values (
    v_refund_id, v_sale.business_id, v_sale.id, public.get_next_return_number(v_sale.business_id), v_total, v_tax,
    auth.uid()
  )
  returning * into v_refund;

  insert into public.refund_lines (business_id, refund_id, sale_id, product_id, quantity)
  select v_sale.business_id, v_refund_id, v_sale.id, l.product_id, l.quantity
  from unnest(v_lines) as l;

  insert into public.refund_payments (business_id, refund_id, method, amount, reference, position)
  select v_sale.business_id, v_refund_id, p.*
  from rows from (jsonb_to_recordset(v_payments) as (method text, amount bigint, reference text))
    with ordinality as p;

  return json_build_object(
    'refundId', v_refund.id,
    'number', v_refund.number,
    'saleId', v_refund.sale_id,
    'currency', v_sale.currency,
    'total', v_refund.total,
    'tax', v_refund.tax,
    'lines', (
      select json_agg(
        json_build_object('productId', l.product_id, 'quantity', l.quantity, 'total', l.total, 'tax', l.tax)
        order by l.product_id
      )
      from public.refund_lines as l
      where l.business_id = v_refund.business_id and l.refund_id = v_refund.id
    ),
    'payments', (
      select coalesce(
        json_agg(json_build_object('method', p.method, 'amount', p.amount, 'reference', p.reference) order by p.position),
        '[]'
      )
      from public.refund_payments as p
      where p.business_id = v_refund.business_id and p.refund_id = v_refund.id
    ),
    'createdAt', v_refund.created_at
  );
end;
$$;

comment on function public.pos_refund_sale(uuid, jsonb) is
  'Takes goods of a sale back into stock and writes the refund. Request: lines, or all that is left of the sale; payments.';

revoke all on function public.pos_refund_sale(uuid, jsonb) from public, anon, authenticated, service_role;

-- Drafts. Members write purchase receipts, supplier returns, transfers and inventory corrections
-- through the API, with their lines; what moves the goods is an operation, and then they are no
-- drafts any more.

-- A policy cannot do this: it sees the draft of before an approval that commits a moment later. The
-- lock waits for that commit, and holds the next approval back until this line is in.
--
-- security definer: locking the document takes a right to update it, which signed-in users have not.
create function public.lines_need_a_draft() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_table constant text := tg_argv[0];
  v_line constant jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
  v_id constant uuid := (v_line ->> tg_argv[1])::uuid;
  v_status text;
begin
  execute format(
    $query$
      select d.status
      from public.%I as d
      where d.business_id = $1 and d.id = $2
        and (auth.uid() is null or public.my_role_in(d.business_id) is not null)
      for no key update
    $query$,
    v_table
  )
  into v_status
  using (v_line ->> 'business_id')::uuid, v_id;

  -- Null where the draft itself is being deleted, or the foreign key will say so. Or it is somebody
  -- else's: the policies refuse the line after this trigger, and nothing is to be told before.
  if v_status <> 'draft' then
    raise exception 'changing a line of % %: it is %', v_table, v_id, v_status
      using errcode = 'PT409', hint = 'Write another document.';
  end if;

  return case when tg_op = 'DELETE' then old else new end;
end;
$$;

comment on function public.lines_need_a_draft() is
  'SQLSTATE PT409: the document of a line is no draft any more.';

-- Once for all lines of a statement: a delivery has thousands. So many as an answer can hold.
create function public.lines_are_at_most_10000() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_id uuid;
begin
  execute format(
    $query$
      select l.%2$I
      from public.%1$I as l
      join (select distinct n.business_id, n.%2$I from new_lines as n) as n using (business_id, %2$I)
      group by l.%2$I
      having count(*) > 10000
      limit 1
    $query$,
    tg_table_name, tg_argv[0]
  )
  into v_id;

  if v_id is not null then
    raise exception 'adding lines to %: it would have more than 10000, the most there may be', v_id
      using errcode = 'PT409', hint = 'Write another document.';
  end if;

  return null;
end;
$$;

comment on function public.lines_are_at_most_10000() is 'SQLSTATE PT409: a document has more than 10000 lines.';

revoke all on function public.lines_need_a_draft(), public.lines_are_at_most_10000()
  from public, anon, authenticated, service_role;

-- Purchase receipts: approving one, a manager's matter, brings the goods into stock and gives it its
-- number.

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

create trigger lines_need_a_draft
  before insert or update or delete on public.purchase_receipt_lines
  for each row execute function public.lines_need_a_draft('purchase_receipts', 'receipt_id');
create trigger lines_are_at_most_10000
  after insert on public.purchase_receipt_lines
  referencing new table as new_lines
  for each statement execute function public.lines_are_at_most_10000('receipt_id');

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
grant select, insert (id, business_id, location_id, supplier), delete on public.purchase_receipts to authenticated;
grant select, insert, update (quantity), delete on public.purchase_receipt_lines to authenticated;
grant select on public.purchase_receipts, public.purchase_receipt_lines to service_role;

-- Returns of goods to a supplier: approving one takes them out of stock. Its number is one of the
-- same row as those of refunds.

create table public.supplier_returns (
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
  constraint supplier_returns_pkey primary key (id),
  constraint supplier_returns_business_id_id_key unique (business_id, id),
  constraint supplier_returns_business_id_number_key unique (business_id, number),
  constraint supplier_returns_location_fkey foreign key (business_id, location_id)
    references public.locations (business_id, id),
  constraint supplier_returns_supplier_has_1_to_200_characters check (char_length(supplier) between 1 and 200),
  constraint supplier_returns_status_is_known check (status in ('draft', 'approved')),
  constraint supplier_returns_number_is_a_return_number check (number ~ '^RET-[0-9]{6}-[0-9]{4,}$'),
  constraint supplier_returns_only_approved_has_number_and_approval
    check (num_nonnulls(number, approved_by, approved_at) = case when status = 'approved' then 3 else 0 end)
);

comment on table public.supplier_returns is 'Goods that go back to a supplier from a location.';

create index supplier_returns_business_id_location_id_idx on public.supplier_returns (business_id, location_id);

create table public.supplier_return_lines (
  business_id uuid not null,
  return_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  constraint supplier_return_lines_pkey primary key (business_id, return_id, product_id),
  constraint supplier_return_lines_return_fkey foreign key (business_id, return_id)
    references public.supplier_returns (business_id, id) on delete cascade,
  constraint supplier_return_lines_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint supplier_return_lines_quantity_is_1_to_1000000 check (quantity between 1 and 1000000)
);

comment on table public.supplier_return_lines is 'What goes back.';

create index supplier_return_lines_business_id_product_id_idx on public.supplier_return_lines (business_id, product_id);

create trigger lines_need_a_draft
  before insert or update or delete on public.supplier_return_lines
  for each row execute function public.lines_need_a_draft('supplier_returns', 'return_id');
create trigger lines_are_at_most_10000
  after insert on public.supplier_return_lines
  referencing new table as new_lines
  for each statement execute function public.lines_are_at_most_10000('return_id');

alter table public.supplier_returns enable row level security;
alter table public.supplier_return_lines enable row level security;

create policy supplier_returns_select_as_member on public.supplier_returns
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy supplier_returns_insert_as_member on public.supplier_returns
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy supplier_returns_delete_draft_as_member on public.supplier_returns
  for delete to authenticated
  using (business_id in (select public.my_business_ids()) and status = 'draft');

create policy supplier_return_lines_select_as_member on public.supplier_return_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy supplier_return_lines_insert_as_member on public.supplier_return_lines
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy supplier_return_lines_update_as_member on public.supplier_return_lines
  for update to authenticated
  using (business_id in (select public.my_business_ids()))
  with check (business_id in (select public.my_business_ids()));
create policy supplier_return_lines_delete_as_member on public.supplier_return_lines
  for delete to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.supplier_returns, public.supplier_return_lines from public, anon, authenticated, service_role;
grant select, insert (id, business_id, location_id, supplier), delete on public.supplier_returns to authenticated;
grant select, insert, update (quantity), delete on public.supplier_return_lines to authenticated;
grant select on public.supplier_returns, public.supplier_return_lines to service_role;

-- Corrections of stock: what broke, was lost or was found. A member writes it down, a manager approves.

create table public.inventory_corrections (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  location_id uuid not null,
  reason text not null,
  status text not null default 'draft',
  created_by uuid not null default auth.uid(),
  created_at timestamptz not null default now(),
  approved_by uuid,
  approved_at timestamptz,
  constraint inventory_corrections_pkey primary key (id),
  constraint inventory_corrections_business_id_id_key unique (business_id, id),
  constraint inventory_corrections_location_fkey foreign key (business_id, location_id)
    references public.locations (business_id, id),
  constraint inventory_corrections_reason_has_1_to_200_characters check (char_length(reason) between 1 and 200),
  constraint inventory_corrections_status_is_known check (status in ('draft', 'approved')),
  constraint inventory_corrections_only_approved_has_approval
    check (num_nonnulls(approved_by, approved_at) = case when status = 'approved' then 2 else 0 end)
);

comment on table public.inventory_corrections is 'Differences of a location''s stock that have a reason.';

create index inventory_corrections_business_id_location_id_idx on public.inventory_corrections (business_id, location_id);

create table public.inventory_correction_lines (
  business_id uuid not null,
  correction_id uuid not null,
  product_id uuid not null,
  quantity integer not null,
  constraint inventory_correction_lines_pkey primary key (business_id, correction_id, product_id),
  constraint inventory_correction_lines_correction_fkey foreign key (business_id, correction_id)
    references public.inventory_corrections (business_id, id) on delete cascade,
  constraint inventory_correction_lines_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint inventory_correction_lines_quantity_is_at_most_1000000_and_not_0 check (abs(quantity) <= 1000000 and quantity <> 0)
);

comment on table public.inventory_correction_lines is 'How many pieces more there are, or with a minus fewer.';

create index inventory_correction_lines_business_id_product_id_idx on public.inventory_correction_lines (business_id, product_id);

create trigger lines_need_a_draft
  before insert or update or delete on public.inventory_correction_lines
  for each row execute function public.lines_need_a_draft('inventory_corrections', 'correction_id');
create trigger lines_are_at_most_10000
  after insert on public.inventory_correction_lines
  referencing new table as new_lines
  for each statement execute function public.lines_are_at_most_10000('correction_id');

alter table public.inventory_corrections enable row level security;
alter table public.inventory_correction_lines enable row level security;

create policy inventory_corrections_select_as_member on public.inventory_corrections
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy inventory_corrections_insert_as_member on public.inventory_corrections
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy inventory_corrections_delete_draft_as_member on public.inventory_corrections
  for delete to authenticated
  using (business_id in (select public.my_business_ids()) and status = 'draft');

create policy inventory_correction_lines_select_as_member on public.inventory_correction_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy inventory_correction_lines_insert_as_member on public.inventory_correction_lines
  for insert to authenticated with check (business_id in (select public.my_business_ids()));
create policy inventory_correction_lines_update_as_member on public.inventory_correction_lines
  for update to authenticated
  using (business_id in (select public.my_business_ids()))
  with check (business_id in (select public.my_business_ids()));
create policy inventory_correction_lines_delete_as_member on public.inventory_correction_lines
  for delete to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.inventory_corrections, public.inventory_correction_lines from public, anon, authenticated, service_role;
grant select, insert (id, business_id, location_id, reason), delete on public.inventory_corrections to authenticated;
grant select, insert, update (quantity), delete on public.inventory_correction_lines to authenticated;
grant select on public.inventory_corrections, public.inventory_correction_lines to service_role;

-- Approving a draft moves its goods and, where it has a number, gives it one. Whoever is second finds
-- another status.
create function public.pos_approve(p_kind text, p_id uuid) returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_table constant text := case p_kind
    when 'receipt' then 'purchase_receipts'
    when 'return' then 'supplier_returns'
    when 'correction' then 'inventory_corrections'
  end;
  v_name constant text := replace(rtrim(v_table, 's'), '_', ' ');
  v_title constant text := upper(left(v_name, 1)) || substr(v_name, 2);
  v_document jsonb;
  v_business_id uuid;
  v_lines public.pos_line[];
begin
  execute format(
    'select to_jsonb(d) from public.%I as d where d.id = $1 and public.my_role_in(d.business_id) is not null for no key update',
    v_table
  )
  into v_document
  using p_id;

  if v_document is null then
    perform public.pos_refuse(
      404, upper(p_kind) || '_NOT_FOUND', v_title || ' not found',
      format('There is no %s %s in a business of yours: check the id', v_name, p_id)
    );
  end if;

  v_business_id := (v_document ->> 'business_id')::uuid;

  -- Null by now where the membership ended while the draft was waited for.
  if (public.my_role_in(v_business_id) in ('owner', 'manager')) is not true then
    perform public.pos_refuse(
      403, 'ROLE_REQUIRED', 'Role required',
      format('Approving a %s takes a manager or the owner of the business: ask one of them', v_name)
    );
  end if;

  if v_document ->> 'status' <> 'draft' then
    perform public.pos_refuse(
      409, upper(p_kind) || '_NOT_DRAFT', v_title || ' not a draft',
      format('%s %s has been approved already%s', v_title, p_id, ', as ' || (v_document ->> 'number')),
      jsonb_build_object('state', v_document ->> 'status', 'number', v_document ->> 'number')
    );
  end if;

  execute format(
    'select array_agg(row(l.product_id, l.quantity)::public.pos_line)
    from public.%I as l where l.business_id = $1 and l.%I = $2',
    rtrim(v_table, 's') || '_lines', p_kind || '_id'
  )
  into v_lines
  using v_business_id, p_id;

  if v_lines is null then
    perform public.pos_refuse(
      409, upper(p_kind) || '_EMPTY', v_title || ' empty',
      format('%s %s has no lines: add what it is about', v_title, p_id)
    );
  end if;

  perform public.pos_move_stock(
    v_business_id, (v_document ->> 'location_id')::uuid, p_id,
    case p_kind when 'return' then 'supplier_return' else p_kind end, v_lines
  );

  execute format(
    'update public.%1$I as d set status = ''approved'', approved_by = auth.uid(), approved_at = now()%2$s
    where d.id = $1 returning to_jsonb(d)',
    v_table,
    case p_kind
      when 'receipt' then ', number = public.get_next_receipt_number(d.business_id)'
      when 'return' then ', number = public.get_next_return_number(d.business_id)'
    end
  )
  into v_document
  using p_id;

  return json_build_object(
    p_kind || 'Id', p_id,
    'number', v_document ->> 'number',
    'locationId', v_document ->> 'location_id',
    'status', v_document ->> 'status',
    'lines', (
      select json_agg(json_build_object('productId', l.product_id, 'quantity', l.quantity) order by l.product_id)
      from unnest(v_lines) as l
    ),
    'approvedAt', v_document ->> 'approved_at'
  );
end;
$$;

comment on function public.pos_approve(text, uuid) is
  'Moves the goods of a draft and gives it its number. Kinds: receipt, return (to a supplier), correction (has no number).';

revoke all on function public.pos_approve(text, uuid) from public, anon, authenticated, service_role;

-- Physical counts. Written by pos_import_count alone: the API only reads them.

create table public.inventory_counts (
  id uuid not null default gen_random_uuid(),
  business_id uuid not null,
  location_id uuid not null,
  counted_by uuid not null,
  created_at timestamptz not null default now(),
  constraint inventory_counts_pkey primary key (id),
  constraint inventory_counts_business_id_id_key unique (business_id, id),
  constraint inventory_counts_location_fkey foreign key (business_id, location_id)
    references public.locations (business_id, id)
);

comment on table public.inventory_counts is 'What somebody counted at a location.';
comment on column public.inventory_counts.counted_by is
  'Who brought it in. No foreign key: the count stays on the books when the account goes.';

create index inventory_counts_business_id_location_id_idx on public.inventory_counts (business_id, location_id);

create table public.inventory_count_lines (
  business_id uuid not null,
  count_id uuid not null,
  product_id uuid not null,
  expected integer not null,
  counted integer not null,
  difference integer not null generated always as (counted - expected) stored,
  constraint inventory_count_lines_pkey primary key (business_id, count_id, product_id),
  constraint inventory_count_lines_count_fkey foreign key (business_id, count_id)
    references public.inventory_counts (business_id, id),
  constraint inventory_count_lines_product_fkey foreign key (business_id, product_id)
    references public.products (business_id, id),
  constraint inventory_count_lines_expected_is_not_negative check (expected >= 0),
  constraint inventory_count_lines_counted_is_0_to_1000000000 check (counted between 0 and 1000000000)
);

comment on table public.inventory_count_lines is 'What was counted of each product, and what the books said at that moment.';

create index inventory_count_lines_business_id_product_id_idx
  on public.inventory_count_lines (business_id, product_id);

alter table public.inventory_counts enable row level security;
alter table public.inventory_count_lines enable row level security;

create policy inventory_counts_select_as_member on public.inventory_counts
  for select to authenticated using (business_id in (select public.my_business_ids()));
create policy inventory_count_lines_select_as_member on public.inventory_count_lines
  for select to authenticated using (business_id in (select public.my_business_ids()));

revoke all on public.inventory_counts, public.inventory_count_lines from public, anon, authenticated, service_role;
grant select on public.inventory_counts, public.inventory_count_lines to authenticated, service_role;

create function public.pos_import_count(p_location_id uuid, p_request jsonb) returns json
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count_id constant uuid := gen_random_uuid();
  v_business_id uuid;
  v_unknown jsonb;
  v_counted public.pos_line[];
  v_differences public.pos_line[];
begin
  select l.business_id into v_business_id
  from public.locations as l
  where l.id = p_location_id and public.my_role_in(l.business_id) is not null;

  if not found then
    perform public.pos_refuse(
      404, 'LOCATION_NOT_FOUND', 'Location not found',
      format('There is no location %s in a business of yours: check the id', p_location_id)
    );
  end if;

  if (public.my_role_in(v_business_id) in ('owner', 'manager')) is not true then
    perform public.pos_refuse(
      403, 'ROLE_REQUIRED', 'Role required',
      'Bringing in a count takes a manager or the owner of the business: ask one of them'
    );
  end if;

  if jsonb_typeof(p_request -> 'lines') is distinct from 'array'
    or jsonb_array_length(p_request -> 'lines') not between 1 and 10000
  then
    raise exception 'reading a count: expected 1 to 10000 lines' using errcode = '22023';
  end if;

  if (
    select count(distinct l.sku) < count(*)
    from jsonb_to_recordset(p_request -> 'lines') as l (sku text)
  ) then
    raise exception 'reading a count: each line needs a SKU of its own' using errcode = '22023';
  end if;

  select
    jsonb_agg(l.sku order by l.sku) filter (where p.id is null),
    array_agg(row(p.id, l.counted)::public.pos_line)
  into v_unknown, v_counted
  from jsonb_to_recordset(p_request -> 'lines') as l (sku text, counted integer)
  left join public.products as p on p.business_id = v_business_id and p.sku = l.sku;

  if v_unknown is not null then
    perform public.pos_refuse(
      404, 'PRODUCT_NOT_FOUND', 'Product not found',
      format('The business has no product %s: check the SKUs', left(v_unknown ->> 0, 100)),
      jsonb_build_object('skus', jsonb_path_query_array(v_unknown, '$[0 to 99]'))
    );
  end if;

  -- Held from here on: what is expected is what the difference is booked against.
  perform public.pos_hold_stock(v_business_id, p_location_id, array(select c.product_id from unnest(v_counted) as c));

  insert into public.inventory_counts (id, business_id, location_id, counted_by)
  values (v_count_id, v_business_id, p_location_id, auth.uid());

  insert into public.inventory_count_lines (business_id, count_id, product_id, expected, counted)
  select v_business_id, v_count_id, c.product_id, s.quantity, c.quantity
  from unnest(v_counted) as c
  join public.stock as s
    on s.business_id = v_business_id and s.location_id = p_location_id and s.product_id = c.product_id;

  select array_agg(row(l.product_id, l.difference)::public.pos_line) into v_differences
  from public.inventory_count_lines as l
  where l.business_id = v_business_id and l.count_id = v_count_id and l.difference <> 0;

  perform public.pos_move_stock(v_business_id, p_location_id, v_count_id, 'count', coalesce(v_differences, '{}'));

  return json_build_object(
    'countId', v_count_id,
    'locationId', p_location_id,
    'counted', cardinality(v_counted),
    'differences', (
      select coalesce(
        json_agg(
          json_build_object(
            'productId', l.product_id, 'sku', p.sku, 'expected', l.expected, 'counted', l.counted,
            'difference', l.difference
          )
          order by p.sku
        ),
        '[]'
      )
      from public.inventory_count_lines as l
      join public.products as p on p.business_id = l.business_id and p.id = l.product_id
      where l.business_id = v_business_id and l.count_id = v_count_id and l.difference <> 0
    ),
    'createdAt', now()
  );
end;
$$;

comment on function public.pos_import_count(uuid, jsonb) is
  'Books the difference between what was counted at a location and what the books say. Request: lines of sku and counted.';

revoke all on function public.pos_import_count(uuid, jsonb) from public, anon, authenticated, service_role;

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

create trigger lines_need_a_draft
  before insert or update or delete on public.transfer_lines
  for each row execute function public.lines_need_a_draft('transfers', 'transfer_id');
create trigger lines_are_at_most_10000
  after insert on public.transfer_lines
  referencing new table as new_lines
  for each statement execute function public.lines_are_at_most_10000('transfer_id');

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

  -- Once more: the membership may have ended while the transfer was waited for.
  if not found or public.my_role_in(v_transfer.business_id) is null then
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

  select array_agg(row(l.product_id, l.quantity)::public.pos_line) into v_lines
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
  p_idempotency_key text,
  p_fingerprint text,
  p_subject_id uuid default null,
  p_request jsonb default '{}'
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
  -- 3 days: a till that lost its network on Friday retries on Monday
  v_answer := idempotency.claim_in_transaction(p_operation, p_idempotency_key, p_fingerprint, 259200);

  if v_answer.outcome <> 'claimed' then
    return v_answer;
  end if;

  begin
    v_answer.status_code := 200;
    v_answer.response_headers := '{"content-type": "application/json"}';

    case p_operation
      when 'pos/businesses/:id/registration' then
        v_answer.response := public.pos_register_business(p_subject_id, p_request);
      when 'pos/sales' then
        v_answer.status_code := 201;
        v_answer.response := public.pos_record_sale(p_request);
      when 'pos/sales/:id/refund' then
        v_answer.status_code := 201;
        v_answer.response := public.pos_refund_sale(p_subject_id, p_request);
      when 'pos/purchases/receipts/:id/approve' then
        v_answer.response := public.pos_approve('receipt', p_subject_id);
      when 'pos/purchases/returns/:id/approve' then
        v_answer.response := public.pos_approve('return', p_subject_id);
      when 'pos/inventory/corrections/:id/approve' then
        v_answer.response := public.pos_approve('correction', p_subject_id);
      when 'pos/locations/:id/counts' then
        v_answer.status_code := 201;
        v_answer.response := public.pos_import_count(p_subject_id, p_request);
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

  return idempotency.complete_in_transaction(p_operation, p_idempotency_key, v_answer);
end;
$$;

comment on function public.pos_perform(text, text, text, uuid, jsonb) is
  'Performs an operation of the point of sale, once per key: completed, replay, mismatch, …, with the answer. SQLSTATE PT403, PT404, PT409: refused, and the key is free.';

revoke all on function public.pos_perform(text, text, text, uuid, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.pos_perform(text, text, text, uuid, jsonb) to authenticated;

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
  select r.business_id, 'return', r.number, r.id
  from public.supplier_returns as r
  where r.number is not null
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
