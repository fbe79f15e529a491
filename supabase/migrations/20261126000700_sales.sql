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
