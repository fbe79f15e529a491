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
