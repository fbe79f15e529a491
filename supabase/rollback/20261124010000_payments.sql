-- Undoes 20261124010000_payments.sql. The record of every payment is lost; the provider still has it.

drop table public.payments;
