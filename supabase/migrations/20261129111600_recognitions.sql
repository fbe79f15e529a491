-- Recognitions: one user thanks another, with points.
--
-- A sender names the recipient by an address that the recipient has handed out, not by a user id or
-- an e-mail. An address is 122 random bits, so trying some finds nobody; it says nothing about its
-- owner; and whoever wants no more recognitions under it makes a new one. A look-up by e-mail would
-- tell anybody who has an account here, and a list of colleagues needs an organisation to be of.
--
-- The address is resolved by a trigger, because it is the one place that reads other users'
-- addresses: a function that did so for a caller would be offered by the API as a look-up.

create table public.recognition_addresses (
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  address uuid not null default gen_random_uuid(),
  created_at timestamptz not null default now(),
  constraint recognition_addresses_pkey primary key (user_id),
  constraint recognition_addresses_address_key unique (address)
);

comment on table public.recognition_addresses is
  'Under which address a user can be recognised; handed out by the user, and renewed by deleting the row.';

create table public.recognitions (
  id uuid not null default gen_random_uuid(),
  request_id text not null,
  sender_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  recipient_address uuid not null,
  recipient_id uuid not null references auth.users (id) on delete cascade,
  message text not null,
  category text not null,
  points smallint not null,
  created_at timestamptz not null default now(),
  constraint recognitions_pkey primary key (id),
  constraint recognitions_sender_id_request_id_key unique (sender_id, request_id),
  constraint recognitions_sender_is_not_the_recipient check (sender_id <> recipient_id),
  constraint recognitions_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint recognitions_message_has_1_to_1000_characters check (char_length(message) between 1 and 1000),
  constraint recognitions_message_is_not_blank check (message ~ '\S'),
  constraint recognitions_category_is_known
    check (category in ('teamwork', 'craft', 'initiative', 'service', 'growth')),
  constraint recognitions_points_are_1_to_100 check (points between 1 and 100)
);

comment on table public.recognitions is 'What users thanked each other for.';
comment on column public.recognitions.request_id is
  'The same for every attempt at one request, so that all of them find one recognition.';
comment on column public.recognitions.recipient_address is
  'As the sender gave it; the address may have been renewed since.';

create index recognitions_sender_id_created_at_idx on public.recognitions (sender_id, created_at desc);
create index recognitions_recipient_id_created_at_idx on public.recognitions (recipient_id, created_at desc);

alter table public.recognition_addresses enable row level security;
alter table public.recognitions enable row level security;

create policy recognition_addresses_select_own on public.recognition_addresses
  for select to authenticated using ((select auth.uid()) = user_id);
create policy recognition_addresses_insert_own on public.recognition_addresses
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy recognition_addresses_delete_own on public.recognition_addresses
  for delete to authenticated using ((select auth.uid()) = user_id);

create policy recognitions_select_sent_or_received on public.recognitions
  for select to authenticated using ((select auth.uid()) in (sender_id, recipient_id));
create policy recognitions_insert_sent on public.recognitions
  for insert to authenticated with check ((select auth.uid()) = sender_id);

revoke all on public.recognition_addresses, public.recognitions from public, anon, authenticated, service_role;
grant select, insert (user_id), delete on public.recognition_addresses to authenticated;
grant select, insert (request_id, recipient_address, message, category, points) on public.recognitions
  to authenticated;
grant select, insert, update, delete on public.recognition_addresses, public.recognitions to service_role;

-- security definer: the sender may not read the recipient's address, let alone everybody's.
create function public.recognitions_resolve_address() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  select a.user_id into new.recipient_id
  from public.recognition_addresses as a
  where a.address = new.recipient_address;

  if not found then
    raise exception 'recording a recognition: nobody has the address %', new.recipient_address
      using errcode = 'P0002';
  end if;

  return new;
end;
$$;

comment on function public.recognitions_resolve_address() is
  'Finds the recipient of a new recognition by the address. SQLSTATE P0002: nobody has it.';

revoke all on function public.recognitions_resolve_address() from public, anon, authenticated, service_role;

create trigger recognitions_resolve_address
  before insert on public.recognitions
  for each row execute function public.recognitions_resolve_address();

create function public.send_recognition(
  p_request_id text,
  p_recipient_address uuid,
  p_message text,
  p_category text,
  p_points integer
) returns public.recognitions
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_recognition public.recognitions;
begin
  -- Before the insert, whose trigger asks who has the address: the recipient may have renewed it
  -- between two attempts.
  select r.* into v_recognition
  from public.recognitions as r
  where r.sender_id = auth.uid() and r.request_id = p_request_id;

  if found then
    return v_recognition;
  end if;

  insert into public.recognitions (request_id, recipient_address, message, category, points)
  values (p_request_id, p_recipient_address, p_message, p_category, p_points)
  on conflict (sender_id, request_id) do nothing
  returning * into v_recognition;

  -- another statement: it sees a row that was committed while the insert waited for it
  if v_recognition.id is null then
    select r.* into v_recognition
    from public.recognitions as r
    where r.sender_id = auth.uid() and r.request_id = p_request_id;
  end if;

  return v_recognition;
end;
$$;

comment on function public.send_recognition(text, uuid, text, text, integer) is
  'Records a recognition by the caller, once for each request id. SQLSTATE P0002: nobody has the address; 23514: it is the caller''s own.';

revoke all on function public.send_recognition(text, uuid, text, text, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.send_recognition(text, uuid, text, text, integer) to authenticated;

create function public.my_recognition_address() returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id constant uuid := auth.uid();
  v_address uuid;
begin
  insert into public.recognition_addresses (user_id)
  values (v_user_id)
  on conflict do nothing
  returning address into v_address;

  -- another statement: it sees a row that was committed while the insert waited for it
  if v_address is null then
    select a.address into v_address from public.recognition_addresses as a where a.user_id = v_user_id;
  end if;

  return v_address;
end;
$$;

comment on function public.my_recognition_address() is
  'The caller''s address, made at the first call.';

revoke all on function public.my_recognition_address() from public, anon, authenticated, service_role;
grant execute on function public.my_recognition_address() to authenticated;
