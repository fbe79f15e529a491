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
