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
