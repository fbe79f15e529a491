-- Undoes 20261125000200_events.sql. Every event is lost.

drop table public.events;
