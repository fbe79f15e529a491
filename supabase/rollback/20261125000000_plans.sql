-- Undoes 20261125000000_plans.sql. Every plan is lost, and who is on which.

drop table public.user_plans;
drop table public.plans;
