-- Undoes 20261129111800_quotations.sql. Every quotation is lost, and with them their audit trail.

drop function public.archive_quotation(uuid, boolean, integer[], text);
drop function public.change_quotation_status(uuid, text, integer[], text, uuid);
drop function public.update_quotation(uuid, jsonb, integer[], text);
drop function public.create_quotation(jsonb, text, uuid);
drop function public.write_quotation_lines(uuid, jsonb);
drop function public.lock_quotation(uuid, integer[], text);
drop function public.hold_quotation(uuid, text);
drop function public.quotation_document(uuid);
drop table public.quotation_lines;
drop table public.quotations;
drop table public.quotation_history;
drop function public.quotation_lines_sum_up();
drop function public.quotations_write_history();
drop function public.quotations_keep_rules();
drop function public.quotation_may_become(text, text);
