-- Undoes 20261129111300_payments.sql. The record of every payment is lost; the provider still has it.

drop table public.payments;
