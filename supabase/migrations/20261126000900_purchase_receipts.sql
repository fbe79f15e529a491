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
