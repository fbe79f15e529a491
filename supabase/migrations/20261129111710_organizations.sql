-- Organisations: whose members share what belongs to it.
--
-- A row belongs to a user or to an organisation, and owner_id is which of the two: one column that
-- policies, lists and unique constraints start with. So what a colleague made stays when they leave.

create table public.organizations (
  id uuid not null default gen_random_uuid(),
  name text not null,
  created_at timestamptz not null default now(),
  constraint organizations_pkey primary key (id),
  constraint organizations_name_has_1_to_200_characters check (char_length(name) between 1 and 200)
);

comment on table public.organizations is 'Who shares quotations and the resources of the CRM.';

create table public.organization_members (
  organization_id uuid not null references public.organizations (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null default 'member',
  created_at timestamptz not null default now(),
  constraint organization_members_pkey primary key (organization_id, user_id),
  constraint organization_members_role_is_known check (role in ('owner', 'admin', 'member'))
);

comment on table public.organization_members is 'Who may act for an organisation, and as what.';

create index organization_members_user_id_idx on public.organization_members (user_id);

-- One owner, whom the API can neither add nor remove: two owners who remove one another at the same
-- moment would leave an organisation without any.
create unique index organization_members_one_owner on public.organization_members (organization_id)
  where role = 'owner';

-- security definer: the policy of members asks this about members, which as the caller would ask the
-- policy again. It tells callers about themselves only.
create function public.my_organization_ids(p_roles text[] default array['owner', 'admin', 'member']) returns setof uuid
language sql
stable
security definer
rows 3
set search_path = ''
as $$
  select m.organization_id
  from public.organization_members as m
  where m.user_id = auth.uid() and m.role = any (p_roles);
$$;

comment on function public.my_organization_ids(text[]) is
  'The organisations that the caller is a member of, in one of these roles.';

create function public.my_owner_ids() returns setof uuid
language sql
stable
security invoker
rows 4
set search_path = ''
as $$
  select auth.uid()
  union all
  select public.my_organization_ids();
$$;

comment on function public.my_owner_ids() is 'Whose rows the caller shares: their own, and those of their organisations.';

-- Held until the end of the transaction: what a colleague has begun is done or not, and whoever puts
-- them out, or dissolves the organisation, waits for it. The organisation first, whose end begins with
-- it, then the membership, then any row of the organisation's; and the account before rows of its own.
--
-- security definer: callers may lock neither their account nor their membership. It tells them about
-- themselves only.
create function public.require_membership(p_organization_id uuid) returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_organization_id is null then
    perform from auth.users as u where u.id = auth.uid() for key share;
    return;
  end if;

  perform from public.organizations as o where o.id = p_organization_id for key share;
  perform from public.organization_members as m
  where m.organization_id = p_organization_id and m.user_id = auth.uid()
  for key share;

  if not found then
    raise exception 'acting for organisation %: the caller is no member of such a one', p_organization_id
      using errcode = 'OR001';
  end if;
end;
$$;

comment on function public.require_membership(uuid) is
  'Holds the caller''s membership, or account: null stands for the caller alone. SQLSTATE OR001: they are no member of the organisation, or there is none.';

create function public.row_belongs_to_its_author() returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if new.organization_id is null then
    new.user_id := coalesce(new.user_id, auth.uid());
  end if;

  -- Not a generated column: that counts as written by each update, which then locks the row's key,
  -- and whatever refers to the row at that moment deadlocks with it.
  new.owner_id := coalesce(new.organization_id, new.user_id);

  return new;
end;
$$;

comment on function public.row_belongs_to_its_author() is
  'Fills in whose a new row is, where it is no organisation''s.';

alter table public.organizations enable row level security;
alter table public.organization_members enable row level security;

create policy organizations_select_as_member on public.organizations
  for select to authenticated using (id in (select public.my_organization_ids()));
create policy organizations_update_as_admin on public.organizations
  for update to authenticated
  using (id in (select public.my_organization_ids(array['owner', 'admin'])))
  with check (id in (select public.my_organization_ids(array['owner', 'admin'])));
-- What belongs to it goes along, by foreign keys.
create policy organizations_delete_as_owner on public.organizations
  for delete to authenticated using (id in (select public.my_organization_ids(array['owner'])));

create policy organization_members_select_as_member on public.organization_members
  for select to authenticated using (organization_id in (select public.my_organization_ids()));
create policy organization_members_insert_as_admin on public.organization_members
  for insert to authenticated
  with check (organization_id in (select public.my_organization_ids(array['owner', 'admin'])) and role <> 'owner');
create policy organization_members_update_as_admin on public.organization_members
  for update to authenticated
  using (organization_id in (select public.my_organization_ids(array['owner', 'admin'])) and role <> 'owner')
  with check (organization_id in (select public.my_organization_ids(array['owner', 'admin'])) and role <> 'owner');
-- Whoever is no owner may leave.
create policy organization_members_delete_as_admin_or_oneself on public.organization_members
  for delete to authenticated
  using (
    role <> 'owner'
    and (
      organization_id in (select public.my_organization_ids(array['owner', 'admin']))
      or user_id = (select auth.uid())
    )
  );

revoke all on public.organizations, public.organization_members from public, anon, authenticated, service_role;
grant select, update (name), delete on public.organizations to authenticated;
grant select, insert (organization_id, user_id, role), update (role), delete on public.organization_members to authenticated;
grant select, insert, update, delete on public.organizations, public.organization_members to service_role;

-- security definer: a signed-in user may insert neither, or there could be an organisation that
-- nobody owns, and an owner whom nobody made one.
create function public.create_organization(p_name text, p_id uuid default gen_random_uuid()) returns uuid
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if auth.uid() is null then
    raise exception 'creating an organisation: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token.';
  end if;

  insert into public.organizations (id, name)
  values (p_id, p_name)
  on conflict (id) do nothing;

  if found then
    insert into public.organization_members (organization_id, user_id, role)
    values (p_id, auth.uid(), 'owner');
  elsif p_id not in (select public.my_organization_ids(array['owner'])) then
    raise exception 'creating organisation %: the id is taken', p_id using errcode = '23505';
  end if;

  return p_id;
end;
$$;

comment on function public.create_organization(text, uuid) is
  'Creates an organisation that the caller owns, once for each id; answers the id.';

-- An owner whose account ends is followed by the admin who has been there longest; where there is
-- none, the project says who, with the secret key.
create function public.organization_has_lost_its_owner() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_next uuid;
begin
  loop
    -- not one who is leaving: they may be waiting for this to end
    select m.user_id into v_next
    from public.organization_members as m
    where m.organization_id = old.organization_id and m.role = 'admin'
    order by m.created_at, m.user_id
    limit 1
    for no key update skip locked;

    exit when found;

    -- There is nobody else: what becomes of them is waited for. Two who are leaving and alone could
    -- follow each other wait for each other: the server tells one of the deadlock, who leaves when
    -- asked again. In one order of locks, whoever leaves would wait for everybody who does.
    perform from public.organization_members as m
    where m.organization_id = old.organization_id and m.role = 'admin'
    limit 1
    for no key update;

    exit when not exists (
      select from public.organization_members as m where m.organization_id = old.organization_id and m.role = 'admin'
    );
  end loop;

  update public.organization_members as m
  set role = 'owner'
  where m.organization_id = old.organization_id and m.user_id = v_next;

  return null;
end;
$$;

create trigger organization_has_lost_its_owner
  after delete on public.organization_members
  for each row
  when (old.role = 'owner')
  execute function public.organization_has_lost_its_owner();

-- Before its members are: while an account is on its way out of it, whoever dissolves it holds nothing
-- that the end of that account needs.
create function public.organization_is_being_dissolved() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_owner uuid;
begin
  loop
    select m.user_id into v_owner
    from public.organization_members as m
    where m.organization_id = old.id and m.role = 'owner'
    for update;

    -- else they have been followed by another meanwhile
    exit when found or not exists (
      select from public.organization_members as m where m.organization_id = old.id and m.role = 'owner'
    );
  end loop;

  -- The policy has asked before that wait whose it is: who has handed it over meanwhile dissolves nothing.
  if v_owner <> auth.uid() then
    return null;
  end if;

  return old;
end;
$$;

create trigger organization_is_being_dissolved
  before delete on public.organizations
  for each row execute function public.organization_is_being_dissolved();

-- What colleagues shared were the organisation's keys. Its id may come back, by somebody who knew it,
-- and must not answer to them.
create function public.organization_is_dissolved() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform idempotency.forget_owner('org:' || old.id);
  return null;
end;
$$;

create trigger organization_is_dissolved
  after delete on public.organizations
  for each row execute function public.organization_is_dissolved();

-- security definer: no policy lets a member become the owner, so that at each moment there is one.
create function public.transfer_organization(p_organization_id uuid, p_user_id uuid) returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.organization_members
  set role = 'admin'
  where organization_id = p_organization_id and user_id = auth.uid() and role = 'owner';

  if found then
    update public.organization_members
    set role = 'owner'
    where organization_id = p_organization_id and user_id = p_user_id;
  else
    -- A second time it is done: the caller is an admin since, and somebody else the owner.
    perform from public.organization_members
    where organization_id = p_organization_id and user_id = p_user_id and role = 'owner'
      and p_organization_id in (select public.my_organization_ids());
  end if;

  if not found then
    raise exception 'handing over organisation %: the caller is not its owner, or % no member of it', p_organization_id, p_user_id
      using errcode = 'OR001', hint = 'Take them in first.';
  end if;
end;
$$;

comment on function public.transfer_organization(uuid, uuid) is
  'Makes another member the owner of the caller''s organisation, and the caller an admin. SQLSTATE OR001: it is not the caller''s, or they are no member.';

revoke all on function public.organization_has_lost_its_owner() from public, anon, authenticated, service_role;
revoke all on function public.organization_is_being_dissolved() from public, anon, authenticated, service_role;
revoke all on function public.organization_is_dissolved() from public, anon, authenticated, service_role;
revoke all on function public.my_organization_ids(text[]) from public, anon, authenticated, service_role;
revoke all on function public.my_owner_ids() from public, anon, authenticated, service_role;
revoke all on function public.require_membership(uuid) from public, anon, authenticated, service_role;
revoke all on function public.row_belongs_to_its_author() from public, anon, authenticated, service_role;
revoke all on function public.create_organization(text, uuid) from public, anon, authenticated, service_role;
revoke all on function public.transfer_organization(uuid, uuid) from public, anon, authenticated, service_role;
-- the policies call them as the caller
grant execute on function public.my_organization_ids(text[]) to authenticated;
grant execute on function public.my_owner_ids() to authenticated;
grant execute on function public.require_membership(uuid) to authenticated;
grant execute on function public.create_organization(text, uuid) to authenticated;
grant execute on function public.transfer_organization(uuid, uuid) to authenticated;
