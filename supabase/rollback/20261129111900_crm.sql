-- Undoes 20261129111900_crm.sql. Every row of the resources is lost, and with them their audit trail.

drop function public.crm_change(text, text, uuid, jsonb, integer[], jsonb);
drop function public.crm_create(text, jsonb, uuid, jsonb);
drop function public.crm_refuse(text, text, text);
drop trigger crm_give_system_roles on public.organizations;
drop function public.crm_give_system_roles();
drop table public.crm_invoices_payable;
drop table public.crm_invoices_receivable;
drop table public.crm_extra_expenses;
drop table public.crm_transfers;
drop table public.crm_daily_tours;
drop table public.crm_bookings;
drop table public.crm_entrance_fees;
drop table public.crm_restaurants;
drop table public.crm_vehicles;
drop table public.crm_guides;
drop table public.crm_hotels;
drop table public.crm_providers;
drop table public.crm_agents;
drop table public.crm_clients;
drop table public.crm_users;
drop table public.crm_roles;
drop function public.crm_keep_system_roles();
drop function public.crm_keep_rules();
drop function public.crm_write_audit();
drop table public.crm_audit;
