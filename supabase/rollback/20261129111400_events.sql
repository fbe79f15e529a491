-- Undoes 20261129111400_events.sql. Every event is lost, every plan and who is on which, every balance
-- of credits and how it came about.

drop function public.create_event(text, text, timestamptz, text, text, boolean, integer);
drop table public.events;
drop table public.credit_entries;
drop function public.credit_entries_keep_balance();
drop table public.credit_balances;
drop table public.user_plans;
drop table public.plans;
