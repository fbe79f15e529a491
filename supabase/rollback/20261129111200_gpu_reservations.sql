-- Undoes 20261129111200_gpu_reservations.sql. Every pool and every reservation is lost.

drop function public.reserve_gpu_hours(uuid, integer, text, text);
drop table public.gpu_reservations;
drop function public.gpu_reservations_move_hours();
drop table public.gpu_pools;
