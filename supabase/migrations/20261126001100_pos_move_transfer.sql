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
