-- Undoes 20261129110200_sequences.sql. Every counter is lost: the numbers given out would be given
-- out again.

drop function public.get_next_invoice_number(uuid);
drop function public.get_next_receipt_number(uuid);
drop function public.get_next_transfer_number(uuid);
drop function public.get_next_return_number(uuid);
drop function public.next_document_number(uuid, text);
drop function public.document_time_zone(uuid);
drop function public.document_period(timestamptz, text);
drop table public.document_sequences;
