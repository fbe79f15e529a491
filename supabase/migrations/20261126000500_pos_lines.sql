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
