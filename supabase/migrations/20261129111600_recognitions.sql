-- Recognitions: one user thanks another, with points.
--
-- A sender names the recipient by an address that the recipient has handed out, not by an e-mail. An
-- address is 122 random bits, so trying some finds nobody; it says nothing about its owner; and whoever
-- wants no more recognitions under it makes a new one. A look-up by e-mail would tell anybody who has an
-- account here, and a list of colleagues needs an organisation to be of.
--
-- Whoever knows a recipient's user id may use that instead, for as long as the recipient has an address:
-- who has none takes no recognitions.
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
  recipient_address uuid,
  recipient_id uuid not null references auth.users (id) on delete cascade,
  message text not null,
  category text,
  points smallint not null,
  tags text[] not null default '{}',
  created_at timestamptz not null default now(),
  constraint recognitions_pkey primary key (id),
  constraint recognitions_id_recipient_id_key unique (id, recipient_id),
  constraint recognitions_sender_id_request_id_key unique (sender_id, request_id),
  constraint recognitions_sender_is_not_the_recipient check (sender_id <> recipient_id),
  constraint recognitions_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint recognitions_message_has_1_to_1000_characters check (char_length(message) between 1 and 1000),
  -- The function refuses what is blank: to another locale more would be, and no retry would help.
  constraint recognitions_message_is_not_blank check (message collate "C" ~ '\S'),
  constraint recognitions_category_is_known
    check (category in ('teamwork', 'craft', 'initiative', 'service', 'growth')),
  constraint recognitions_points_are_1_to_100 check (points between 1 and 100),
  constraint recognitions_has_at_most_10_tags check (cardinality(tags) <= 10),
  constraint recognitions_tags_have_at_most_400_characters check (char_length(array_to_string(tags, '')) <= 400),
  constraint recognitions_tags_are_texts check (array_position(tags, null) is null)
);

comment on table public.recognitions is 'What users thanked each other for.';
comment on column public.recognitions.request_id is
  'The same for every attempt at one request, so that all of them find one recognition.';
comment on column public.recognitions.recipient_address is
  'Names the recipient of a new row, and is not kept: whom the recognition is shared with would learn it.';

create table public.recognition_shares (
  recognition_id uuid not null,
  request_id text not null,
  shared_by_id uuid not null default auth.uid(),
  recipient_address uuid,
  recipient_id uuid not null references auth.users (id) on delete cascade,
  evidence_weight numeric(3, 2) not null,
  created_at timestamptz not null default now(),
  constraint recognition_shares_pkey primary key (recognition_id, shared_by_id, recipient_id),
  constraint recognition_shares_is_by_the_recipient foreign key (recognition_id, shared_by_id)
    references public.recognitions (id, recipient_id) on delete cascade,
  constraint recognition_shares_shared_by_id_request_id_key unique (shared_by_id, request_id),
  constraint recognition_shares_is_not_with_oneself check (shared_by_id <> recipient_id),
  constraint recognition_shares_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint recognition_shares_evidence_weight_is_0_to_1 check (evidence_weight between 0 and 1)
);

comment on table public.recognition_shares is 'Recognitions that their recipients showed to somebody else.';
comment on column public.recognition_shares.evidence_weight is
  'How much of its points the recognition is to count for, as whoever shares it says.';

create index recognition_shares_recipient_id_created_at_idx on public.recognition_shares (recipient_id, created_at desc);

create index recognitions_sender_id_created_at_idx on public.recognitions (sender_id, created_at desc);
create index recognitions_recipient_id_created_at_idx on public.recognitions (recipient_id, created_at desc);

alter table public.recognition_addresses enable row level security;
alter table public.recognitions enable row level security;
alter table public.recognition_shares enable row level security;

create policy recognition_addresses_select_own on public.recognition_addresses
  for select to authenticated using ((select auth.uid()) = user_id);
create policy recognition_addresses_insert_own on public.recognition_addresses
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy recognition_addresses_delete_own on public.recognition_addresses
  for delete to authenticated using ((select auth.uid()) = user_id);

create policy recognitions_select_sent_received_or_shared on public.recognitions
  for select to authenticated using (
    (select auth.uid()) in (sender_id, recipient_id)
    or exists (
      select from public.recognition_shares as s
      where s.recognition_id = recognitions.id and s.recipient_id = (select auth.uid())
    )
  );
create policy recognitions_insert_sent on public.recognitions
  for insert to authenticated with check ((select auth.uid()) = sender_id);

create policy recognition_shares_select_given_or_received on public.recognition_shares
  for select to authenticated using ((select auth.uid()) in (shared_by_id, recipient_id));
create policy recognition_shares_insert_given on public.recognition_shares
  for insert to authenticated with check ((select auth.uid()) = shared_by_id);
create policy recognition_shares_delete_given on public.recognition_shares
  for delete to authenticated using ((select auth.uid()) = shared_by_id);

revoke all on public.recognition_addresses, public.recognitions, public.recognition_shares
  from public, anon, authenticated, service_role;
grant select, insert (user_id), delete on public.recognition_addresses to authenticated;
grant select, insert (request_id, recipient_address, recipient_id, message, category, points, tags) on public.recognitions
  to authenticated;
grant select, insert (recognition_id, request_id, recipient_address, recipient_id, evidence_weight), delete
  on public.recognition_shares to authenticated;
grant select, insert, update, delete
  on public.recognition_addresses, public.recognitions, public.recognition_shares to service_role;

-- security definer: the sender may not read the recipient's address, let alone everybody's.
create function public.recognitions_resolve_address() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id uuid;
begin
  select a.user_id into v_user_id
  from public.recognition_addresses as a
  where a.address = new.recipient_address or new.recipient_address is null and a.user_id = new.recipient_id;

  if not found then
    raise exception 'looking for a recipient: nobody has the address or id %', coalesce(new.recipient_address, new.recipient_id)
      using errcode = 'PT404';
  end if;

  if v_user_id <> new.recipient_id then
    raise exception 'looking for a recipient: the address % is not that of %', new.recipient_address, new.recipient_id
      using errcode = '42501';
  end if;

  new.recipient_id := v_user_id;
  -- It is its owner's to hand out, and not of everybody who sees the row.
  new.recipient_address := null;
  return new;
end;
$$;

comment on function public.recognitions_resolve_address() is
  'Finds the recipient of a recognition or share by address or id. SQLSTATE PT404: nobody has it, or takes recognitions; 42501: the two disagree.';

revoke all on function public.recognitions_resolve_address() from public, anon, authenticated, service_role;

create trigger recognitions_resolve_address
  before insert on public.recognitions
  for each row execute function public.recognitions_resolve_address();
create trigger recognition_shares_resolve_address
  before insert on public.recognition_shares
  for each row execute function public.recognitions_resolve_address();

create function public.send_recognition(
  p_request_id text,
  p_recipient_address uuid,
  p_message text,
  p_category text,
  p_points integer,
  p_recipient_id uuid default null,
  p_tags text[] default '{}'
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

  insert into public.recognitions (request_id, recipient_address, recipient_id, message, category, points, tags)
  values (p_request_id, p_recipient_address, p_recipient_id, p_message, p_category, p_points, p_tags)
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

comment on function public.send_recognition(text, uuid, text, text, integer, uuid, text[]) is
  'Records a recognition by the caller, once for each request id. SQLSTATE PT404: nobody has the address or id; 23514: it is the caller''s own.';

revoke all on function public.send_recognition(text, uuid, text, text, integer, uuid, text[])
  from public, anon, authenticated, service_role;
grant execute on function public.send_recognition(text, uuid, text, text, integer, uuid, text[]) to authenticated;

create function public.share_recognition(
  p_request_id text,
  p_recognition_id uuid,
  p_recipient_address uuid,
  p_recipient_id uuid,
  p_evidence_weight numeric
) returns public.recognition_shares
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_share public.recognition_shares;
begin
  select s.* into v_share
  from public.recognition_shares as s
  where s.shared_by_id = auth.uid() and s.request_id = p_request_id;

  if found then
    return v_share;
  end if;

  insert into public.recognition_shares (recognition_id, request_id, recipient_address, recipient_id, evidence_weight)
  values (p_recognition_id, p_request_id, p_recipient_address, p_recipient_id, p_evidence_weight)
  on conflict (shared_by_id, request_id) do nothing
  returning * into v_share;

  -- another statement: it sees a row that was committed while the insert waited for it
  if v_share.recognition_id is null then
    select s.* into v_share
    from public.recognition_shares as s
    where s.shared_by_id = auth.uid() and s.request_id = p_request_id;
  end if;

  return v_share;
end;
$$;

comment on function public.share_recognition(text, uuid, uuid, uuid, numeric) is
  'Shows a recognition that the caller received to somebody else, once for each request id. SQLSTATE PT404: nobody has the address or id; 23503: the caller did not receive it; 23505: it was shared with them before; 23514: they are the caller.';

revoke all on function public.share_recognition(text, uuid, uuid, uuid, numeric)
  from public, anon, authenticated, service_role;
grant execute on function public.share_recognition(text, uuid, uuid, uuid, numeric) to authenticated;

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
