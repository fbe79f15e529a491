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
