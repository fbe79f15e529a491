-- What a user may create for nothing each month, and what one more costs.
--
-- Who has no row in user_plans is on the plan "free": a user who has just signed up needs no row
-- that somebody would have to remember to write.

create table public.plans (
  name text not null,
  monthly_events integer not null,
  event_cost integer not null,
  participants integer not null default 20,
  participant_cost integer not null default 1,
  constraint plans_pkey primary key (name),
  constraint plans_name_has_1_to_50_characters check (char_length(name) between 1 and 50),
  constraint plans_monthly_events_is_not_negative check (monthly_events >= 0),
  constraint plans_event_cost_is_1_to_1000000 check (event_cost between 1 and 1000000),
  constraint plans_participants_is_1_to_10000 check (participants between 1 and 10000),
  constraint plans_participant_cost_is_positive check (participant_cost > 0),
  -- what one entry of credits may be, with as many participants as there may be
  constraint plans_an_event_costs_at_most_1000000
    check (event_cost + 10000::bigint * participant_cost <= 1000000)
);

comment on table public.plans is 'Plans that users are on; changed by the service role.';
comment on column public.plans.monthly_events is 'Events included in a calendar month, UTC.';
comment on column public.plans.event_cost is 'Credits for each event beyond those included.';
comment on column public.plans.participants is 'Participants included in each event.';
comment on column public.plans.participant_cost is 'Credits for each participant beyond those included.';

-- Reference data: no event can be created without the first of them.
insert into public.plans (name, monthly_events, event_cost, participants, participant_cost)
values ('free', 3, 5, 20, 1), ('team', 100, 2, 200, 1);

create table public.user_plans (
  user_id uuid not null references auth.users (id) on delete cascade,
  plan_name text not null references public.plans (name) on update cascade,
  constraint user_plans_pkey primary key (user_id)
);

comment on table public.user_plans is 'Which plan a user is on, where it is not "free"; set by the service role.';

create index user_plans_plan_name_idx on public.user_plans (plan_name);

alter table public.plans enable row level security;
alter table public.user_plans enable row level security;

create policy plans_select_all on public.plans
  for select to authenticated using (true);
create policy user_plans_select_own on public.user_plans
  for select to authenticated using ((select auth.uid()) = user_id);

revoke all on public.plans, public.user_plans from public, anon, authenticated, service_role;
grant select on public.plans, public.user_plans to authenticated;
grant select, insert, update, delete on public.plans, public.user_plans to service_role;

-- security invoker: for the functions that decide about events, which run as the owner of the tables.
create function public.plan_of(p_user_id uuid) returns public.plans
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_plan public.plans;
begin
  select p.* into v_plan
  from public.plans as p
  where p.name = coalesce((select u.plan_name from public.user_plans as u where u.user_id = p_user_id), 'free');

  if not found then
    raise exception 'reading the plan of a user: there is no plan "free"' using errcode = 'P0002';
  end if;

  return v_plan;
end;
$$;

comment on function public.plan_of(uuid) is 'The plan that a user is on. SQLSTATE P0002: somebody deleted "free".';

revoke all on function public.plan_of(uuid) from public, anon, authenticated, service_role;

-- Credits, as a ledger: what came and what went is written down once and never changed, and the
-- balance is kept beside it.
--
-- The balance is a row of its own so that there is something to lock and something to constrain: a
-- sum over entries could be read by two transactions at once, and each would spend it.

create table public.credit_balances (
  user_id uuid not null references auth.users (id) on delete cascade,
  balance bigint not null default 0,
  constraint credit_balances_pkey primary key (user_id),
  constraint credit_balances_balance_is_not_negative check (balance >= 0)
);

comment on table public.credit_balances is
  'The sum of a user''s credit_entries, kept by the trigger on them; no row is a balance of 0.';

create table public.credit_entries (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  kind text not null,
  amount integer not null,
  reason text not null,
  request_id text not null,
  event_id uuid,
  created_at timestamptz not null default now(),
  constraint credit_entries_pkey primary key (id),
  constraint credit_entries_user_id_kind_request_id_key unique (user_id, kind, request_id),
  constraint credit_entries_kind_is_known check (kind in ('grant', 'spend')),
  constraint credit_entries_grants_are_positive_and_spends_negative
    check (case kind when 'grant' then amount > 0 else amount < 0 end),
  constraint credit_entries_amount_is_at_most_1000000 check (abs(amount) <= 1000000),
  constraint credit_entries_reason_has_1_to_200_characters check (char_length(reason) between 1 and 200),
  constraint credit_entries_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256)
);

comment on table public.credit_entries is
  'Credits granted to users and spent by them. Append-only: a mistake is mended by another entry.';
comment on column public.credit_entries.amount is 'In credits, signed as it changes the balance.';
comment on column public.credit_entries.request_id is
  'The same for every attempt at one request, so that all of them make one entry.';
comment on column public.credit_entries.event_id is
  'What they were spent on. No foreign key: the entry stays on the books when the event goes.';

create index credit_entries_event_id_idx on public.credit_entries (event_id);

alter table public.credit_balances enable row level security;
alter table public.credit_entries enable row level security;

create policy credit_balances_select_own on public.credit_balances
  for select to authenticated using ((select auth.uid()) = user_id);
create policy credit_entries_select_own on public.credit_entries
  for select to authenticated using ((select auth.uid()) = user_id);

-- The service role too neither changes an entry nor writes a balance.
revoke all on public.credit_balances, public.credit_entries from public, anon, authenticated, service_role;
grant select on public.credit_balances, public.credit_entries to authenticated;
grant select on public.credit_balances to service_role;
grant select, insert on public.credit_entries to service_role;

create function public.credit_entries_keep_balance() returns trigger
language plpgsql
volatile
-- whoever inserts an entry has no right to write balances
security definer
set search_path = ''
as $$
begin
  -- Not "on conflict do update": a check looks at the row that was to be inserted too, and would
  -- refuse every spend.
  insert into public.credit_balances (user_id) values (new.user_id) on conflict do nothing;

  -- No look before: the constraint refuses what would go below zero, and the row's lock makes
  -- everybody else's entry wait for this one.
  update public.credit_balances as b
  set balance = b.balance + new.amount
  where b.user_id = new.user_id;

  return null;
end;
$$;

comment on function public.credit_entries_keep_balance() is
  'Adds a new entry to its user''s balance. SQLSTATE 23514: the balance would be negative.';

revoke all on function public.credit_entries_keep_balance() from public, anon, authenticated, service_role;

-- After, not before: an entry that "on conflict do nothing" leaves out must not count.
create trigger credit_entries_keep_balance
  after insert on public.credit_entries
  for each row execute function public.credit_entries_keep_balance();

-- Events that users create: some included in their plan, each other one paid for with credits.

create table public.events (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  request_id text not null,
  title text not null,
  starts_at timestamptz not null,
  location text,
  description text,
  participants integer not null default 1,
  places integer not null default 1,
  is_included boolean not null default true,
  cost integer not null,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  cancelled_at timestamptz,
  constraint events_pkey primary key (id),
  constraint events_user_id_request_id_key unique (user_id, request_id),
  constraint events_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint events_title_has_1_to_200_characters check (char_length(title) between 1 and 200),
  constraint events_starts_at_is_in_2000_to_2099
    check (starts_at >= '2000-01-01T00:00:00Z' and starts_at < '2100-01-01T00:00:00Z'),
  constraint events_location_has_1_to_200_characters check (char_length(location) between 1 and 200),
  constraint events_description_has_1_to_2000_characters check (char_length(description) between 1 and 2000),
  constraint events_participants_is_1_to_10000 check (participants between 1 and 10000),
  constraint events_places_is_1_to_10000 check (places between 1 and 10000),
  constraint events_cost_is_not_negative check (cost >= 0),
  constraint events_version_is_positive check (version > 0)
);

comment on table public.events is 'Events that users created; written by create_event, update_event and cancel_event.';
comment on column public.events.places is
  'The most participants that it has had. They are paid for: fewer give nothing back, as many again cost nothing.';
comment on column public.events.is_included is 'Whether it is one of those that the plan includes in a month.';
comment on column public.events.cost is 'In credits, all that was spent on it; 0: the plan includes it.';
comment on column public.events.version is 'From 1; the next with each edit, and when it is cancelled.';
comment on column public.events.request_id is
  'The same for every attempt at one request, so that all of them find one event.';

-- for counting a month's events
create index events_user_id_created_at_idx on public.events (user_id, created_at desc, id);
-- and for the list, newest first
-- A request is the same one for ever: its event may be archived, and is not made again.
select public.enable_soft_delete(
  'public.events',
  p_list_columns => array['user_id', 'created_at', 'id'],
  p_unique_for_ever => array['events_user_id_request_id_key']
);

alter table public.events enable row level security;

create policy events_select_own on public.events
  for select to authenticated using ((select auth.uid()) = user_id);
create policy events_update_own on public.events
  for update to authenticated
  using ((select auth.uid()) = user_id)
  with check ((select auth.uid()) = user_id);

revoke all on public.events from public, anon, authenticated, service_role;
-- to archive and to restore, which costs nothing and gives nothing back
grant select, update (archived_at) on public.events to authenticated;
grant select, insert, update, delete on public.events to service_role;

-- Edits that were made: an edit whose answer was lost is found here by its retry, also when another
-- edit has come between.
create table public.event_edits (
  user_id uuid not null references auth.users (id) on delete cascade,
  request_id text not null,
  event_id uuid not null references public.events (id) on delete cascade,
  cost integer not null,
  created_at timestamptz not null default now(),
  constraint event_edits_pkey primary key (user_id, request_id),
  constraint event_edits_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint event_edits_cost_is_not_negative check (cost >= 0)
);

comment on table public.event_edits is 'Who edited which event, and what that cost in credits; written by update_event.';

create index event_edits_event_id_idx on public.event_edits (event_id);

alter table public.event_edits enable row level security;

create policy event_edits_select_own on public.event_edits
  for select to authenticated using ((select auth.uid()) = user_id);

revoke all on public.event_edits from public, anon, authenticated, service_role;
grant select on public.event_edits to authenticated, service_role;

-- An event as its owner is told of it.
create function public.event_as_told(p_event public.events) returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$ select to_jsonb(p_event) - '{user_id,request_id,places,is_included}'::text[]; $$;

comment on function public.event_as_told(public.events) is
  'An event without what its owner did not ask for.';

-- One decision at a time for each user: whoever comes second waits here, and then counts and reads
-- what the first has left.
create function public.hold_credit_balance(p_user_id uuid) returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_balance bigint;
begin
  if p_user_id is null then
    raise exception 'deciding about an event: nobody is signed in' using errcode = '42501';
  end if;

  -- The account first, which the event refers to: its end takes it before the balance, too, so that
  -- the two never deadlock.
  perform from auth.users as u where u.id = p_user_id for key share;

  insert into public.credit_balances (user_id) values (p_user_id) on conflict do nothing;

  select b.balance into v_balance
  from public.credit_balances as b
  where b.user_id = p_user_id
  for update;

  return v_balance;
end;
$$;

comment on function public.hold_credit_balance(uuid) is
  'Locks a user''s balance until the end of the transaction, and answers it. SQLSTATE 42501: nobody is signed in.';

revoke all on function public.event_as_told(public.events), public.hold_credit_balance(uuid)
  from public, anon, authenticated, service_role;

-- Deciding about an event and creating it, in one transaction: what the plan includes is created,
-- anything beyond it is a question until the caller confirms, and the credits go with the event.
--
-- security definer: an event is created together with what it costs, so users may write neither
-- events nor credit_entries themselves. It acts for auth.uid() and for nobody else.
create function public.create_event(
  p_request_id text,
  p_title text,
  p_starts_at timestamptz,
  p_location text default null,
  p_description text default null,
  p_participants integer default 1,
  p_confirm_credit boolean default false,
  p_max_cost integer default null
) returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id constant uuid := auth.uid();
  v_balance bigint := public.hold_credit_balance(v_user_id);
  -- without a zone: a month added to a timestamptz is one of the session's zone
  v_month constant timestamp := date_trunc('month', now() at time zone 'UTC');
  v_plan public.plans;
  v_event public.events;
  v_is_included boolean;
  v_cost integer;
begin
  select e.* into v_event
  from public.events as e
  where e.user_id = v_user_id and e.request_id = p_request_id;

  if not found then
    v_plan := public.plan_of(v_user_id);

    -- Up to the end of the month too: who waited over midnight comes after events of the next one.
    select count(*) < v_plan.monthly_events into v_is_included
    from public.events as e
    where e.user_id = v_user_id and e.is_included
      and e.created_at >= v_month at time zone 'UTC'
      and e.created_at < (v_month + interval '1 month') at time zone 'UTC';

    v_cost := case when v_is_included then 0 else v_plan.event_cost end
      + greatest(0, p_participants - v_plan.participants) * v_plan.participant_cost;

    -- Agreed to is the price that was told, where the caller says which: it may have risen since.
    if v_cost > 0 and (p_confirm_credit is not true or v_cost > p_max_cost) then
      return jsonb_build_object('outcome', 'question', 'cost', v_cost, 'balance', v_balance);
    end if;

    if v_cost > v_balance then
      return jsonb_build_object('outcome', 'too_few_credits', 'cost', v_cost, 'balance', v_balance);
    end if;

    insert into public.events (
      user_id, request_id, title, starts_at, location, description, participants, places, is_included, cost
    )
    values (
      v_user_id, p_request_id, p_title, p_starts_at, p_location, p_description, p_participants, p_participants,
      v_is_included, v_cost
    )
    returning * into v_event;

    if v_cost > 0 then
      insert into public.credit_entries (user_id, kind, amount, reason, request_id, event_id)
      values (v_user_id, 'spend', -v_cost, 'event ' || v_event.id, p_request_id, v_event.id);
      v_balance := v_balance - v_cost;
    end if;
  else
    -- Not what the event has cost since: edits may have come between.
    select coalesce(-sum(c.amount), 0) into v_cost
    from public.credit_entries as c
    where c.user_id = v_user_id and c.kind = 'spend' and c.request_id = p_request_id;
  end if;

  return jsonb_build_object(
    'outcome', 'created', 'event', public.event_as_told(v_event), 'cost', v_cost, 'balance', v_balance
  );
end;
$$;

comment on function public.create_event(text, text, timestamptz, text, text, integer, boolean, integer) is
  'Creates an event of the caller once per request id: created, question (confirm its cost), or too_few_credits; the last two spend nothing.';

-- The same for an edit: more participants than were paid for are a question.
--
-- security definer: see create_event.
create function public.update_event(
  p_event_id uuid,
  p_request_id text,
  p_version integer,
  p_changes jsonb,
  p_confirm_credit boolean default false,
  p_max_cost integer default null
) returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id constant uuid := auth.uid();
  v_balance bigint := public.hold_credit_balance(v_user_id);
  v_plan public.plans;
  v_event public.events;
  v_cost integer;
begin
  select e.* into v_event
  from public.events as e
  where e.id = p_event_id and e.user_id = v_user_id
  for no key update;

  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;

  select d.cost into v_cost
  from public.event_edits as d
  where d.user_id = v_user_id and d.request_id = p_request_id and d.event_id = p_event_id;

  if not found then
    if v_event.archived_at is not null then
      return jsonb_build_object('outcome', 'archived');
    elsif v_event.cancelled_at is not null then
      return jsonb_build_object('outcome', 'cancelled');
    elsif v_event.version is distinct from p_version then
      return jsonb_build_object('outcome', 'changed', 'version', v_event.version);
    end if;

    if p_changes - '{title,starts_at,location,description,participants}'::text[] <> '{}' then
      raise exception 'editing event %: only title, starts_at, location, description and participants can be edited', p_event_id
        using errcode = '22023';
    end if;

    v_event := jsonb_populate_record(v_event, p_changes);
    v_plan := public.plan_of(v_user_id);
    v_cost := greatest(0, v_event.participants - greatest(v_event.places, v_plan.participants)) * v_plan.participant_cost;

    if v_cost > 0 and (p_confirm_credit is not true or v_cost > p_max_cost) then
      return jsonb_build_object('outcome', 'question', 'cost', v_cost, 'balance', v_balance);
    end if;

    if v_cost > v_balance then
      return jsonb_build_object('outcome', 'too_few_credits', 'cost', v_cost, 'balance', v_balance);
    end if;

    update public.events as e
    set
      title = v_event.title,
      starts_at = v_event.starts_at,
      location = v_event.location,
      description = v_event.description,
      participants = v_event.participants,
      places = greatest(e.places, v_event.participants),
      cost = e.cost + v_cost,
      version = e.version + 1
    where e.id = p_event_id
    returning e.* into v_event;

    insert into public.event_edits (user_id, request_id, event_id, cost)
    values (v_user_id, p_request_id, p_event_id, v_cost);

    if v_cost > 0 then
      insert into public.credit_entries (user_id, kind, amount, reason, request_id, event_id)
      values (v_user_id, 'spend', -v_cost, 'participants of event ' || p_event_id, p_request_id, p_event_id);
      v_balance := v_balance - v_cost;
    end if;
  end if;

  return jsonb_build_object(
    'outcome', 'updated', 'event', public.event_as_told(v_event), 'cost', v_cost, 'balance', v_balance
  );
end;
$$;

comment on function public.update_event(uuid, text, integer, jsonb, boolean, integer) is
  'Edits an event of the caller once per request id: updated, question or too_few_credits as at create_event; not_found, archived, cancelled, or changed (it has another version).';

-- Cancelling gives no credits back, and its place in the month is not free again: it was announced.
--
-- security definer: see create_event.
create function public.cancel_event(p_event_id uuid) returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_event public.events;
begin
  select e.* into v_event
  from public.events as e
  where e.id = p_event_id and e.user_id = auth.uid()
  for no key update;

  if not found then
    return jsonb_build_object('outcome', 'not_found');
  end if;

  if v_event.cancelled_at is null then
    if v_event.archived_at is not null then
      return jsonb_build_object('outcome', 'archived');
    end if;

    update public.events as e
    set cancelled_at = now(), version = e.version + 1
    where e.id = p_event_id
    returning e.* into v_event;
  end if;

  return jsonb_build_object('outcome', 'cancelled', 'event', public.event_as_told(v_event));
end;
$$;

comment on function public.cancel_event(uuid) is
  'Cancels an event of the caller; one that is cancelled stays as it is. Outcomes: cancelled, archived, not_found.';

revoke all on function
  public.create_event(text, text, timestamptz, text, text, integer, boolean, integer),
  public.update_event(uuid, text, integer, jsonb, boolean, integer),
  public.cancel_event(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_event(text, text, timestamptz, text, text, integer, boolean, integer),
  public.update_event(uuid, text, integer, jsonb, boolean, integer),
  public.cancel_event(uuid)
  to authenticated;
