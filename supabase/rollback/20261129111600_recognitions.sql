-- Undoes 20261129111600_recognitions.sql. Every recognition and every address is lost.

drop function public.send_recognition(text, uuid, text, text, integer);
drop function public.my_recognition_address();
drop table public.recognitions;
drop function public.recognitions_resolve_address();
drop table public.recognition_addresses;
