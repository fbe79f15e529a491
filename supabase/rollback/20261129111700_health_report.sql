-- Undoes 20261129111700_health_report.sql; nothing is lost.

drop function public.health_report(integer, integer);
