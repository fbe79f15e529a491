-- Undoes 20261129111600_recognitions.sql. Every recognition, every share and every address is lost.

drop function public.share_recognition(text, uuid, uuid, uuid, numeric);
drop function public.send_recognition(text, uuid, text, text, integer, uuid, text[]);
drop function public.my_recognition_address();
-- Together: the policies of each name the other.
drop table public.recognition_shares, public.recognitions;
drop function public.recognitions_resolve_address();
drop table public.recognition_addresses;
