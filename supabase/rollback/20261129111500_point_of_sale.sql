-- Undoes 20261129111500_point_of_sale.sql. Every business with its documents, stock and numbers is
-- lost.

drop view public.v_document_numbers;
drop function public.pos_perform(text, text, text, uuid, jsonb);
drop function public.pos_move_transfer(uuid, text);
drop table public.transfer_lines;
drop table public.transfers;
drop function public.pos_import_count(uuid, jsonb);
drop table public.inventory_count_lines;
drop table public.inventory_counts;
drop function public.pos_approve(text, uuid);
drop table public.inventory_correction_lines;
drop table public.inventory_corrections;
drop table public.supplier_return_lines;
drop table public.supplier_returns;
drop table public.purchase_receipt_lines;
drop table public.purchase_receipts;
drop function public.lines_are_at_most_10000();
drop function public.lines_need_a_draft();
drop function public.pos_refund_sale(uuid, jsonb);
drop table public.refund_payments;
drop table public.refund_lines;
drop function public.refund_lines_count_at_the_sale();
drop table public.refunds;
drop function public.pos_record_sale(jsonb);
drop view public.v_invoices;
drop table public.sale_payments;
drop table public.sale_lines;
drop table public.sales;
drop function public.pos_next_serial(uuid, text);
drop function public.pos_seller(public.tax_registrations);
drop function public.pos_register_business(uuid, jsonb);
drop table public.invoice_series;
drop table public.tax_registrations;
drop function public.pos_payments(jsonb, bigint);
drop function public.documents_add_up();
drop function public.pos_tax_in(bigint, integer);
drop function public.pos_move_stock(uuid, uuid, uuid, text, public.pos_line[]);
drop function public.pos_hold_stock(uuid, uuid, uuid[]);
drop function public.pos_lines(jsonb);
drop type public.pos_line;
drop function public.pos_refuse(integer, text, text, text, jsonb);
drop table public.stock_movements;
drop function public.stock_movements_add_to_stock();
drop table public.stock;
drop table public.products;
drop table public.locations;

delete from public.document_sequences;
revoke select on public.document_sequences from authenticated;
drop policy document_sequences_select_as_member on public.document_sequences;
alter table public.document_sequences drop constraint document_sequences_business_id_fkey;
create or replace function public.document_time_zone(p_business_id uuid) returns text
language sql
stable
security invoker
set search_path = ''
as $$ select 'UTC' where p_business_id is not null; $$;

drop function public.create_business(text, text, text);
drop table public.memberships;
drop table public.businesses;
drop function public.business_has_lost_its_owner();
drop function public.my_role_in(uuid);
drop function public.my_business_ids(text[]);
