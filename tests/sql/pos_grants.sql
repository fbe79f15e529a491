-- Who may do what at the point of sale: tables, functions, and each role's part through the policies.
begin;
select plan(49);

-- The whole list, so that what is added has to be added here.
create temporary table pos_tables (name text);
insert into pos_tables values
  ('businesses'), ('document_sequences'), ('inventory_correction_lines'), ('inventory_corrections'),
  ('inventory_count_lines'), ('inventory_counts'), ('invoice_series'), ('locations'), ('memberships'), ('products'),
  ('purchase_receipt_lines'), ('purchase_receipts'), ('refund_lines'), ('refund_payments'), ('refunds'), ('sale_lines'),
  ('sale_payments'), ('sales'), ('supplier_return_lines'), ('supplier_returns'), ('stock'), ('stock_movements'), ('tax_registrations'), ('transfer_lines'), ('transfers');

select results_eq(
  $$
    select
      t.name,
      array(
        select p from unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as p
        where has_table_privilege('authenticated', 'public.' || t.name, p)
      )
    from pos_tables as t order by t.name collate "C"
  $$,
  $$
    values
      ('businesses', array['select']),
      ('document_sequences', array['select']),
      ('inventory_correction_lines', array['select', 'insert', 'delete']),
      ('inventory_corrections', array['select', 'delete']),
      ('inventory_count_lines', array['select']),
      ('inventory_counts', array['select']),
      ('invoice_series', array['select']),
      ('locations', array['select']),
      ('memberships', array['select', 'delete']),
      ('products', array['select']),
      ('purchase_receipt_lines', array['select', 'insert', 'delete']),
      ('purchase_receipts', array['select', 'delete']),
      ('refund_lines', array['select']),
      ('refund_payments', array['select']),
      ('refunds', array['select']),
      ('sale_lines', array['select']),
      ('sale_payments', array['select']),
      ('sales', array['select']),
      ('stock', array['select']),
      ('stock_movements', array['select']),
      ('supplier_return_lines', array['select', 'insert', 'delete']),
      ('supplier_returns', array['select', 'delete']),
      ('tax_registrations', array['select']),
      ('transfer_lines', array['select', 'insert', 'delete']),
      ('transfers', array['select', 'delete'])
  $$,
  'whole tables: a signed-in user reads, and writes the lines of drafts'
);

select results_eq(
  $$
    select c.table_name::text collate "default", c.privilege_type::text collate "default",
      string_agg(c.column_name::text, ', ' order by c.column_name collate "C") collate "default"
    from information_schema.column_privileges as c
    join pos_tables as t on t.name = c.table_name
    where c.grantee = 'authenticated' and c.privilege_type in ('INSERT', 'UPDATE')
      and not has_table_privilege('authenticated', 'public.' || t.name, c.privilege_type)
    group by c.table_name, c.privilege_type order by c.table_name collate "C", c.privilege_type collate "C"
  $$,
  $$
    values
      ('businesses', 'UPDATE', 'name, time_zone'),
      ('inventory_correction_lines', 'UPDATE', 'quantity'),
      ('inventory_corrections', 'INSERT', 'business_id, id, location_id, reason'),
      ('locations', 'INSERT', 'business_id, id, name'),
      ('locations', 'UPDATE', 'name'),
      ('memberships', 'INSERT', 'business_id, role, user_id'),
      ('memberships', 'UPDATE', 'role'),
      ('products', 'INSERT', 'business_id, id, name, price, sku, tax_rate, zero_rated'),
      ('products', 'UPDATE', 'name, price, sku, tax_rate, zero_rated'),
      ('purchase_receipt_lines', 'UPDATE', 'quantity'),
      ('purchase_receipts', 'INSERT', 'business_id, id, location_id, supplier'),
      ('supplier_return_lines', 'UPDATE', 'quantity'),
      ('supplier_returns', 'INSERT', 'business_id, id, location_id, supplier'),
      ('transfer_lines', 'UPDATE', 'quantity'),
      ('transfers', 'INSERT', 'business_id, from_location_id, id, to_location_id')
  $$,
  'columns: never a number, a status or a quantity of stock'
);

select is_empty(
  $$
    select t.name from pos_tables as t
    where has_table_privilege('anon', 'public.' || t.name, 'select, insert, update, delete, truncate')
      or has_any_column_privilege('anon', 'public.' || t.name, 'select, insert, update')
      or not (select c.relrowsecurity from pg_class as c where c.oid = ('public.' || t.name)::regclass)
  $$,
  'who is not signed in has nothing, and row level security is on everywhere'
);

select is_empty(
  $$
    select t.name from pos_tables as t
    where t.name not in ('businesses', 'locations', 'memberships', 'products')
      and has_table_privilege('service_role', 'public.' || t.name, 'insert, update, delete, truncate')
  $$,
  'not even the service role writes documents, stock or counters past the functions'
);

select results_eq(
  $$
    select p.proname::text collate "default",
      has_function_privilege('authenticated', p.oid, 'execute'),
      has_function_privilege('service_role', p.oid, 'execute'),
      p.prosecdef
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace
      and p.proname ~ '^(pos_|my_business|my_role|create_business|document_period|next_document|get_next|stock_|refund_lines|lines_|documents_)'
    order by p.proname collate "C"
  $$,
  $$
    values
      ('create_business', true, false, true),
      ('document_period', false, false, false),
      ('documents_add_up', false, false, true),
      ('get_next_invoice_number', false, true, false),
      ('get_next_receipt_number', false, true, false),
      ('get_next_return_number', false, true, false),
      ('get_next_transfer_number', false, true, false),
      ('lines_are_at_most_10000', false, false, true),
      ('lines_need_a_draft', false, false, true),
      ('my_business_ids', true, false, true),
      ('my_role_in', false, false, false),
      ('next_document_number', false, true, true),
      ('pos_approve', false, false, false),
      ('pos_hold_stock', false, false, false),
      ('pos_import_count', false, false, false),
      ('pos_lines', false, false, false),
      ('pos_move_stock', false, false, false),
      ('pos_move_transfer', false, false, false),
      ('pos_next_serial', false, false, false),
      ('pos_payments', false, false, false),
      ('pos_perform', true, false, true),
      ('pos_record_sale', false, false, false),
      ('pos_refund_sale', false, false, false),
      ('pos_refuse', false, false, false),
      ('pos_register_business', false, false, false),
      ('pos_seller', true, true, false),
      ('pos_tax_in', false, false, false),
      ('refund_lines_count_at_the_sale', false, false, true),
      ('stock_movements_add_to_stock', false, false, true)
  $$,
  'users call what is for users, nobody what is inside'
);

select is_empty(
  $$
    select p.proname from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ '^(pos_|my_business|my_role|create_business|document_|next_|get_next|stock_|refund_|lines_|documents_)'
      and (has_function_privilege('anon', p.oid, 'execute') or not p.proconfig @> array['search_path=""'])
  $$,
  'none is open to anon or leaves its search path open'
);

-- Ola owns the tea shop, Mo manages it, Cas is its cashier; Eve has a shop of her own.
insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b'),
  ('00000000-0000-4000-8000-00000000000c'), ('00000000-0000-4000-8000-00000000000e');
insert into public.businesses (id, name, currency) values
  ('00000000-0000-4000-8000-0000000000b1', 'Tea', 'EUR'), ('00000000-0000-4000-8000-0000000000b2', 'Eve''s', 'EUR');
insert into public.memberships (business_id, user_id, role) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000a', 'owner'),
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000b', 'manager'),
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000c', 'cashier'),
  ('00000000-0000-4000-8000-0000000000b2', '00000000-0000-4000-8000-00000000000e', 'owner');
insert into public.locations (id, business_id, name) values
  ('00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-0000000000b1', 'counter'),
  ('00000000-0000-4000-8000-0000000000f2', '00000000-0000-4000-8000-0000000000b1', 'warehouse'),
  ('00000000-0000-4000-8000-0000000000f3', '00000000-0000-4000-8000-0000000000b2', 'counter');
insert into public.products (id, business_id, sku, name, price) values
  ('00000000-0000-4000-8000-0000000000d1', '00000000-0000-4000-8000-0000000000b1', 'tea', 'Tea', 250),
  ('00000000-0000-4000-8000-0000000000d2', '00000000-0000-4000-8000-0000000000b2', 'pot', 'Pot', 900);
insert into public.purchase_receipts (id, business_id, location_id, supplier, created_by) values
  ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', 'Leaf', '00000000-0000-4000-8000-00000000000c');
insert into public.purchase_receipt_lines values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000d1', 10);
insert into public.transfers (id, business_id, from_location_id, to_location_id, status, number, created_by, sent_by, sent_at) values
  ('00000000-0000-4000-8000-0000000000c2', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-0000000000f2', 'sent', 'TRF-202510-0001', '00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000c', now());
insert into public.supplier_returns (business_id, location_id, supplier, status, number, created_by, approved_by, approved_at) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', 'Leaf', 'approved', 'RET-202510-0001', '00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000b', now());
insert into public.inventory_corrections (business_id, location_id, reason, status, created_by, approved_by, approved_at) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', 'broken', 'approved', '00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000b', now());

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', '00000000-0000-4000-8000-00000000000' || p_user)::text, true);
$$;

-- how many rows an update or delete reached
create function pg_temp.reached(p_statement text) returns bigint language plpgsql as $$
declare
  v_rows bigint;
begin
  execute p_statement;
  get diagnostics v_rows = row_count;
  return v_rows;
end;
$$;

set local role authenticated;
select throws_ok($$select public.create_business('x', 'EUR')$$, '42501', null, 'nobody signed in, no business');
select throws_ok($$select public.pos_perform('pos/sales', 'key-1', repeat('a', 64))$$, '42501', null, 'and no sale');
select is_empty($$select * from public.businesses$$, 'and nothing to be seen');

select pg_temp.sign_in('e') \g /dev/null
select is((select count(*) from public.businesses), 1::bigint, 'a stranger sees their own business');
select is((select count(*) from public.memberships), 1::bigint, 'and who is in it');
select is((select count(*) from public.locations), 1::bigint, 'its locations');
select is((select count(*) from public.products), 1::bigint, 'its products');
select is_empty($$select * from public.purchase_receipts$$, 'and nobody else''s receipts');
select is_empty($$select * from public.purchase_receipt_lines$$, 'nor their lines');
select throws_ok($$insert into public.products (business_id, sku, name, price) values ('00000000-0000-4000-8000-0000000000b1', 'x', 'x', 1)$$, '42501', null, 'a stranger adds no product');
select throws_ok($$insert into public.locations (business_id, name) values ('00000000-0000-4000-8000-0000000000b1', 'x')$$, '42501', null, 'no location');
select throws_ok($$insert into public.purchase_receipt_lines values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000d2', 1)$$, '42501', null, 'no line');
select throws_ok($$insert into public.memberships (business_id, user_id, role) values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000e', 'cashier')$$, '42501', null, 'and does not join by themselves');
select throws_ok($$insert into public.transfers (business_id, from_location_id, to_location_id) values ('00000000-0000-4000-8000-0000000000b2', '00000000-0000-4000-8000-0000000000f3', '00000000-0000-4000-8000-0000000000f1')$$, '23503', null, 'a transfer does not leave the business');
select throws_ok($$select public.pos_perform('pos/purchases/receipts/:id/approve', 'key-1', repeat('a', 64), '00000000-0000-4000-8000-0000000000c1')$$, 'PT404', null, 'what is not theirs is not found');

select pg_temp.sign_in('c') \g /dev/null
select is((select count(*) from public.memberships), 3::bigint, 'a cashier sees who else is there');
select lives_ok($$insert into public.products (business_id, sku, name, price) values ('00000000-0000-4000-8000-0000000000b1', 'new', 'New', 1)$$, 'adds a product');
select is(pg_temp.reached($$update public.products set price = 1$$), 0::bigint, 'but prices none anew');
select is(pg_temp.reached($$update public.locations set name = 'mine'$$), 0::bigint, 'renames no location');
select is(pg_temp.reached($$update public.businesses set name = 'mine'$$), 0::bigint, 'nor the business');
select is(pg_temp.reached($$update public.memberships set role = 'manager'$$), 0::bigint, 'promotes nobody');
select throws_ok($$select public.pos_perform('pos/purchases/receipts/:id/approve', 'key-1', repeat('a', 64), '00000000-0000-4000-8000-0000000000c1')$$, 'PT403', null, 'and approves no receipt');
select throws_ok($$insert into public.stock values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-0000000000d1', 5)$$, '42501', null, 'nobody writes stock');
select throws_ok($$insert into public.purchase_receipts (business_id, location_id, supplier, status) values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', 'x', 'approved')$$, '42501', null, 'or a receipt that is approved already');

select pg_temp.sign_in('b') \g /dev/null
select is(pg_temp.reached($$update public.products set price = 260 where sku = 'tea'$$), 1::bigint, 'a manager prices');
select is(pg_temp.reached($$update public.memberships set role = 'owner' where user_id = auth.uid()$$), 0::bigint, 'but does not become the owner');
select is((select (public.pos_perform('pos/purchases/receipts/:id/approve', 'key-1', repeat('a', 64), '00000000-0000-4000-8000-0000000000c1')).status_code), 200, 'and approves');

select pg_temp.sign_in('a') \g /dev/null
select throws_ok($$insert into public.memberships (business_id, user_id, role) values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000e', 'owner')$$, '42501', null, 'the owner adds no second owner');
select lives_ok($$insert into public.memberships (business_id, user_id, role) values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000e', 'cashier')$$, 'but a cashier');
select is(pg_temp.reached($$delete from public.memberships where role = 'cashier'$$), 2::bigint, 'and lets cashiers go');
select is(pg_temp.reached($$delete from public.memberships where role <> 'owner'$$), 1::bigint, 'and the manager');
select is(pg_temp.reached($$delete from public.memberships$$), 0::bigint, 'not themselves');
select is(pg_temp.reached($$delete from public.purchase_receipts$$), 0::bigint, 'an approved receipt stays');
select is(pg_temp.reached($$delete from public.supplier_returns$$), 0::bigint, 'so does a return');
select is(pg_temp.reached($$delete from public.inventory_corrections$$), 0::bigint, 'a correction');
select is(pg_temp.reached($$delete from public.transfers$$), 0::bigint, 'and a transfer that was sent');
select throws_ok($$delete from public.purchase_receipt_lines$$, 'PT409', null, 'with its lines');
select throws_ok($$update public.businesses set currency = 'USD'$$, '42501', null, 'and the books do not change their money');

-- who was let go still knows the ids
select pg_temp.sign_in('b') \g /dev/null
select throws_ok($$insert into public.purchase_receipt_lines values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000d2', 1)$$, '42501', null, 'who is no member is not told that a receipt is approved');
select throws_ok($$insert into public.transfer_lines values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000c2', '00000000-0000-4000-8000-0000000000d1', 1)$$, '42501', null, 'nor that a transfer was sent');
reset role;
select throws_ok($$insert into public.memberships values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000b', 'owner')$$, '23505', null, 'there is one owner, whoever writes');
select is((select quantity from public.stock), 10, 'one approval, one delivery');
select is((select k.expires_at - k.created_at from public.idempotency_keys as k), interval '3 days', 'whose key is kept over a weekend');

select * from finish();
rollback;
