-- Undoes 20261129111400_events.sql. Every event is lost, every plan and who is on which, every balance
-- of credits and how it came about.

drop function public.cancel_event(uuid);
drop function public.update_event(uuid, text, integer, jsonb, boolean, integer);
drop function public.create_event(text, text, timestamptz, text, text, integer, boolean, integer);
drop function public.hold_credit_balance(uuid);
drop function public.event_as_told(public.events);
drop table public.event_edits;
drop table public.events;
drop table public.credit_entries;
drop function public.credit_entries_keep_balance();
drop table public.credit_balances;
drop function public.plan_of(uuid);
drop table public.user_plans;
drop table public.plans;
