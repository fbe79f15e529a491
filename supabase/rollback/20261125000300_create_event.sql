-- Undoes 20261125000300_create_event.sql.

drop function public.create_event(text, text, timestamptz, text, text, boolean, integer);
