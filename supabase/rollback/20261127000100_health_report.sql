-- Undoes 20261127000100_health_report.sql; nothing is lost.

drop function public.health_report(integer, integer);
