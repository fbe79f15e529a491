-- What the point of sale's tables promise about any row, whoever writes it.
begin;
select plan(79);

insert into public.businesses (id, name, currency) values ('00000000-0000-4000-8000-0000000000b1', 'Tea', 'EUR'), ('00000000-0000-4000-8000-0000000000b2', 'Pots', 'EUR');
insert into public.locations (id, business_id, name) values
  ('00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-0000000000b1', 'counter'),
  ('00000000-0000-4000-8000-0000000000f2', '00000000-0000-4000-8000-0000000000b1', 'warehouse'),
  ('00000000-0000-4000-8000-0000000000f3', '00000000-0000-4000-8000-0000000000b2', 'counter');
insert into public.products (id, business_id, sku, name, price) values
  ('00000000-0000-4000-8000-0000000000d1', '00000000-0000-4000-8000-0000000000b1', 'tea', 'Tea', 250),
  ('00000000-0000-4000-8000-0000000000d2', '00000000-0000-4000-8000-0000000000b2', 'pot', 'Pot', 900);

create function pg_temp.moved(p_quantity integer, p_reason text, p_document uuid default gen_random_uuid()) returns integer language plpgsql as $$
begin
  insert into public.stock_movements (business_id, location_id, product_id, quantity, reason, document_id)
  values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-0000000000d1', p_quantity, p_reason, p_document);
  return (select s.quantity from public.stock as s);
end;
$$;

create function pg_temp.refused(p_statement text, p_constraint text) returns text language plpgsql as $$
declare
  v_constraint text;
begin
  execute p_statement;
  return fail(p_constraint || ' let it through');
exception when integrity_constraint_violation then
  get stacked diagnostics v_constraint = constraint_name;
  return is(v_constraint, p_constraint);
end;
$$;

select pg_temp.refused($$select pg_temp.moved(-1, 'sale')$$, 'stock_quantity_is_not_negative');
select is(pg_temp.moved(10, 'receipt', '00000000-0000-4000-8000-0000000000e1'), 10, 'the first movement makes the stock');
select is(pg_temp.moved(-4, 'sale'), 6, 'the next is added to it');
select pg_temp.refused($$select pg_temp.moved(-7, 'sale')$$, 'stock_quantity_is_not_negative');
select pg_temp.refused($$select pg_temp.moved(999999995, 'receipt')$$, 'stock_quantity_is_at_most_1000000000');
select pg_temp.refused($$select pg_temp.moved(10, 'receipt', '00000000-0000-4000-8000-0000000000e1')$$, 'stock_movements_document_moves_a_product_once_per_location');
select pg_temp.refused($$select pg_temp.moved(1, 'gift')$$, 'stock_movements_reason_is_known');
select pg_temp.refused($$select pg_temp.moved(1, 'sale')$$, 'stock_movements_go_the_way_of_their_reason');
select pg_temp.refused($$select pg_temp.moved(-1, 'transfer_received')$$, 'stock_movements_go_the_way_of_their_reason');
select pg_temp.refused($$select pg_temp.moved(1, 'supplier_return')$$, 'stock_movements_go_the_way_of_their_reason');
select pg_temp.refused($$select pg_temp.moved(0, 'count')$$, 'stock_movements_go_the_way_of_their_reason');
select pg_temp.refused($$select pg_temp.moved(-7, 'correction')$$, 'stock_quantity_is_not_negative');
select is((select quantity from public.stock), 6, 'what was refused has moved nothing');

select pg_temp.refused($$insert into public.businesses (name, currency) values ('', 'EUR')$$, 'businesses_name_has_1_to_100_characters');
select pg_temp.refused($$insert into public.businesses (name, currency) values ('x', 'eur')$$, 'businesses_currency_is_3_uppercase_letters');
select pg_temp.refused($$insert into public.businesses (name, currency, time_zone) values ('x', 'EUR', '')$$, 'businesses_time_zone_is_known_to_postgres');
select pg_temp.refused($$insert into public.products (business_id, sku, name, price) values ('00000000-0000-4000-8000-0000000000b1', 'x', 'x', -1)$$, 'products_price_is_0_to_4000000000');
select pg_temp.refused($$insert into public.products (business_id, sku, name, price) values ('00000000-0000-4000-8000-0000000000b1', 'x', 'x', 4000000001)$$, 'products_price_is_0_to_4000000000');
select pg_temp.refused($$insert into public.products (business_id, sku, name, price, tax_rate) values ('00000000-0000-4000-8000-0000000000b1', 'x', 'x', 1, 10001)$$, 'products_tax_rate_is_0_to_10000');
select pg_temp.refused($$insert into public.products (business_id, sku, name, price) values ('00000000-0000-4000-8000-0000000000b1', 'tea', 'x', 1)$$, 'products_business_id_sku_key');
select pg_temp.refused($$insert into public.products (business_id, sku, name, price) values ('00000000-0000-4000-8000-0000000000b1', 'tea ', 'x', 1)$$, 'products_sku_has_no_blanks_around_it');
select pg_temp.refused($$update public.products set sku = E'\ttea' where sku = 'tea'$$, 'products_sku_has_no_blanks_around_it');
select pg_temp.refused($$update public.products set tax_rate = 1200, zero_rated = true where sku = 'tea'$$, 'products_zero_rated_have_no_tax');

insert into public.tax_registrations (business_id, version, registered_name, tin, branch_code, address, vat_registered, permit_number, permit_issued_on, first_serial, last_serial, registered_by)
values ('00000000-0000-4000-8000-0000000000b1', 1, 'Tea Corporation', '123-456-789', '00000', 'Manila', true, 'PTU-1', '2026-01-15', 1, 10, gen_random_uuid());
insert into public.invoice_series values ('00000000-0000-4000-8000-0000000000b1', 'PTU-1', 1, 10, 10);
select pg_temp.refused($$update public.tax_registrations set tin = '123456789'$$, 'tax_registrations_tin_has_3_times_3_digits');
select pg_temp.refused($$update public.tax_registrations set branch_code = '0000'$$, 'tax_registrations_branch_code_has_3_or_5_digits');
select pg_temp.refused($$update public.tax_registrations set permit_issued_on = 'infinity'$$, 'tax_registrations_permit_issued_on_has_four_digits_of_year');
select pg_temp.refused($$update public.tax_registrations set accreditation_number = 'ACC-1', accreditation_issued_on = '0044-03-15 BC'$$, 'tax_registrations_accredited_on_has_four_digits_of_year');
select pg_temp.refused($$update public.tax_registrations set last_serial = 0$$, 'tax_registrations_series_is_of_1_to_12_digits');
select pg_temp.refused($$update public.tax_registrations set accreditation_number = 'ACC-1'$$, 'tax_registrations_accreditation_has_number_and_date');
select pg_temp.refused($$update public.invoice_series set used_serial = 11$$, 'invoice_series_stay_within_the_permit');

insert into public.sales (id, business_id, location_id, number, currency, total, tax, sold_by) values
  ('00000000-0000-4000-8000-000000000051', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', 'INV-202510-0001', 'EUR', 1250, 200, gen_random_uuid());
insert into public.sale_lines (business_id, sale_id, product_id, quantity, unit_price, tax_rate, name) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-000000000051', '00000000-0000-4000-8000-0000000000d1', 5, 250, 1900, 'Tea');
select is((select row(total, tax)::text from public.sale_lines), '(1250,200)', 'a line adds itself up');
select is((select invoice ->> 'vatableSales' from public.v_invoices), '1050', 'and its invoice says what was vatable');

create function pg_temp.numbered(p_version integer, p_permit text, p_serial bigint) returns void language sql as $$
  update public.sales set registration_version = p_version, permit_number = p_permit, serial = p_serial;
$$;
select pg_temp.refused($$select pg_temp.numbered(1, 'PTU-1', null)$$, 'sales_have_registration_and_serial_or_neither');
select pg_temp.refused($$select pg_temp.numbered(1, 'PTU-2', 7)$$, 'sales_registration_fkey');
select pg_temp.refused($$update public.sales set buyer_tin = '123'$$, 'sales_buyer_tin_has_3_times_3_digits_and_a_branch');
select pg_temp.numbered(1, 'PTU-1', 7) \g /dev/null
select is((select invoice ->> 'serialNumber' from public.v_invoices), '07', 'a serial number is as long as the last one of its series');
select pg_temp.refused($$delete from public.tax_registrations$$, 'sales_registration_fkey');
select pg_temp.refused(
  $$insert into public.sales (business_id, location_id, number, currency, total, tax, sold_by, registration_version, permit_number, serial)
    select business_id, location_id, 'INV-202510-0099', currency, 0, 0, sold_by, 1, 'PTU-1', 7 from public.sales$$,
  'sales_business_id_permit_number_serial_key'
);
select results_eq(
  $$select a, r, public.pos_tax_in(a, r) from (values (107::bigint, 700), (8, 700), (7, 700), (3, 10000), (1, 10000), (0, 1900), (40000000000000, 10000)) as t (a, r)$$,
  $$values (107::bigint, 700, 7::bigint), (8, 700, 1), (7, 700, 0), (3, 10000, 2), (1, 10000, 1), (0, 1900, 0), (40000000000000, 10000, 20000000000000)$$,
  'tax is rounded half up'
);

-- what a sale holds is compared at the end of the transaction, whoever writes it
select pg_temp.refused($$set constraints all immediate$$, 'sales_add_up');
insert into public.sale_payments (business_id, sale_id, position, method, amount, tendered) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-000000000051', 1, 'cash', 1000, 1100);
select is((select change from public.sale_payments), 100::bigint, 'what was tendered beyond the amount is given back');
select pg_temp.refused($$set constraints all immediate$$, 'sales_add_up');
insert into public.sale_payments (business_id, sale_id, position, method, amount) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-000000000051', 2, 'card', 250);
select lives_ok($$set constraints all immediate$$, 'paid for as a whole it adds up');
select pg_temp.refused($$update public.sale_payments set amount = 251 where position = 2$$, 'sales_add_up');
select pg_temp.refused($$delete from public.sale_payments where position = 2$$, 'sales_add_up');
select pg_temp.refused($$update public.sale_lines set tax_rate = 700$$, 'sales_add_up');
select pg_temp.refused($$update public.sale_lines set unit_price = 251$$, 'sales_add_up');
select pg_temp.refused($$update public.sale_lines set quantity = 6$$, 'sales_add_up');
select pg_temp.refused($$update public.sales set total = 1251$$, 'sales_add_up');
select pg_temp.refused($$update public.sale_payments set tendered = 300 where position = 2$$, 'sale_payments_only_cash_is_tendered');
select pg_temp.refused($$update public.sale_payments set tendered = 999 where position = 1$$, 'sale_payments_only_cash_is_tendered');
set constraints all deferred;

create function pg_temp.sale(p_business text, p_location text, p_number text, p_total bigint) returns void language sql as $$
  insert into public.sales (business_id, location_id, number, currency, total, tax, sold_by)
  values (('00000000-0000-4000-8000-0000000000' || p_business)::uuid, ('00000000-0000-4000-8000-0000000000' || p_location)::uuid, p_number, 'EUR', p_total, 0, gen_random_uuid());
$$;
select pg_temp.refused($$select pg_temp.sale('b1', 'f1', 'INV-202510-0001', 1)$$, 'sales_business_id_number_key');
select pg_temp.refused($$select pg_temp.sale('b1', 'f1', 'INV-202510-001', 1)$$, 'sales_number_is_an_invoice_number');
select pg_temp.refused($$select pg_temp.sale('b1', 'f1', 'INV-202510-0002', 9007199254740992)$$, 'sales_total_is_0_to_what_json_holds_exactly');
select pg_temp.refused($$select pg_temp.sale('b1', 'f3', 'INV-202510-0002', 1)$$, 'sales_location_fkey');
select lives_ok($$select pg_temp.sale('b2', 'f3', 'INV-202510-0001', 1)$$, 'another business has the same number');
select pg_temp.refused($$update public.sale_lines set quantity = 10001$$, 'sale_lines_quantity_is_1_to_10000');

insert into public.refunds (id, business_id, sale_id, number, total, tax, refunded_by) values
  ('00000000-0000-4000-8000-000000000061', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-000000000051', 'RET-202510-0001', 750, 120, gen_random_uuid()),
  ('00000000-0000-4000-8000-000000000062', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-000000000051', 'RET-202510-0002', 750, 120, gen_random_uuid());
create function pg_temp.refund_line(p_refund text, p_quantity integer) returns void language sql as $$
  insert into public.refund_lines (business_id, refund_id, sale_id, product_id, quantity)
  values ('00000000-0000-4000-8000-0000000000b1', ('00000000-0000-4000-8000-0000000000' || p_refund)::uuid, '00000000-0000-4000-8000-000000000051', '00000000-0000-4000-8000-0000000000d1', p_quantity);
$$;
select lives_ok($$select pg_temp.refund_line('61', 3)$$, 'three of five come back');
select is((select row(total, tax, (select refunded_quantity from public.sale_lines))::text from public.refund_lines), '(750,120,3)', 'at the price they were sold at, with its tax, and counted');
select pg_temp.refused($$select pg_temp.refund_line('62', 3)$$, 'sale_lines_refunded_is_never_more_than_sold');

-- and so is what a refund holds
delete from public.refunds where number = 'RET-202510-0002';
delete from public.sales where business_id = '00000000-0000-4000-8000-0000000000b2';
select pg_temp.refused($$set constraints all immediate$$, 'refunds_add_up');
insert into public.refund_payments (business_id, refund_id, position, method, amount) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-000000000061', 1, 'card', 750);
select lives_ok($$set constraints all immediate$$, 'given back as a whole it adds up');
select pg_temp.refused($$update public.refund_payments set amount = 751$$, 'refunds_add_up');
select pg_temp.refused($$delete from public.refund_payments$$, 'refunds_add_up');
select pg_temp.refused($$update public.refund_lines set total = 749$$, 'refunds_add_up');
select pg_temp.refused($$update public.refund_lines set tax = 119$$, 'refunds_add_up');
select pg_temp.refused($$update public.refunds set total = 751$$, 'refunds_add_up');
set constraints all deferred;

create function pg_temp.transfer(p_to text, p_status text, p_number text) returns void language sql as $$
  insert into public.transfers (business_id, from_location_id, to_location_id, status, number, created_by)
  values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', ('00000000-0000-4000-8000-0000000000' || p_to)::uuid, p_status, p_number, gen_random_uuid());
$$;
select pg_temp.refused($$select pg_temp.transfer('f1', 'draft', null)$$, 'transfers_go_to_another_location');
select pg_temp.refused($$select pg_temp.transfer('f3', 'draft', null)$$, 'transfers_to_location_fkey');
select pg_temp.refused($$insert into public.transfers (business_id, from_location_id, to_location_id, status, number, sent_by, sent_at, created_by) values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-0000000000f2', 'lost', 'TRF-202510-0009', gen_random_uuid(), now(), gen_random_uuid())$$, 'transfers_status_is_known');
select pg_temp.refused($$select pg_temp.transfer('f2', 'sent', null)$$, 'transfers_only_sent_has_number_and_sender');
select pg_temp.refused($$select pg_temp.transfer('f2', 'draft', 'TRF-202510-0001')$$, 'transfers_only_sent_has_number_and_sender');

insert into public.purchase_receipts (id, business_id, location_id, supplier, created_by) values
  ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000f1', 'Leaf', gen_random_uuid());
select pg_temp.refused($$update public.purchase_receipts set status = 'approved'$$, 'purchase_receipts_only_approved_has_number_and_approval');
select pg_temp.refused($$update public.purchase_receipts set number = 'RCP-202510-0001'$$, 'purchase_receipts_only_approved_has_number_and_approval');
select pg_temp.refused($$insert into public.purchase_receipt_lines values ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000d2', 1)$$, 'purchase_receipt_lines_product_fkey');

insert into public.products (business_id, sku, name, price)
select '00000000-0000-4000-8000-0000000000b1', 'bulk-' || n, 'Cup', 1 from generate_series(1, 10001) as n;
create function pg_temp.receipt_line(p_where text) returns void language plpgsql as $$
begin
  execute 'insert into public.purchase_receipt_lines
    select p.business_id, ''00000000-0000-4000-8000-0000000000c1'', p.id, 1 from public.products as p where p.sku ' || p_where;
end;
$$;
select throws_ok($$select pg_temp.receipt_line('like ''bulk-%''')$$, 'PT409', null, 'a receipt has at most 10000 lines');
select lives_ok($$select pg_temp.receipt_line('between ''bulk-1'' and ''bulk-9''')$$, 'and may have thousands');

create view pg_temp.line_rules as
select t.tgrelid::regclass::text as of_lines, array_agg(row(t.tgname, t.tgtype, t.tgnewtable)::text order by t.tgname) as rules
from pg_trigger as t
where t.tgname ~ '^lines_'
group by t.tgrelid;
select results_eq(
  $$select of_lines from pg_temp.line_rules where rules = (select rules from pg_temp.line_rules where of_lines = 'purchase_receipt_lines') order by 1$$,
  $$values ('inventory_correction_lines'), ('purchase_receipt_lines'), ('supplier_return_lines'), ('transfer_lines')$$,
  'every kind of draft has the rules of receipts'
);

select results_eq(
  $$select kind collate "default", number, period, counter from public.v_document_numbers where business_id = '00000000-0000-4000-8000-0000000000b1' order by number$$,
  $$values ('invoice', 'INV-202510-0001', '202510', 1::bigint), ('return', 'RET-202510-0001', '202510', 1)$$,
  'the view has every number in its parts, and no draft'
);

select * from finish();
rollback;
