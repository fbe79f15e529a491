-- Undoes 20261129110100_archive.sql. It fails where a table still has soft delete: call
-- disable_soft_delete on that one first.

drop function public.disable_soft_delete(regclass);
drop function public.enable_soft_delete(regclass, text);
drop function public.enable_soft_delete(regclass, text[], text, text[]);
drop function public.unique_among_live_rows(regclass, text[]);
drop function public.archived_rows_included();
drop function public.archived_rows_are_only_restored();
