-- Undoes 20261125000100_credits.sql. Every balance is lost, and how it came about.

drop table public.credit_entries;
drop function public.credit_entries_keep_balance();
drop table public.credit_balances;
