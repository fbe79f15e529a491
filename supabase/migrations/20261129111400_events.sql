-- What a user may create for nothing each month, and what one more costs.
--
-- Who has no row in user_plans is on the plan "free": a user who has just signed up needs no row
-- that somebody would have to remember to write.

create table public.plans (
  name text not null,
  monthly_events integer not null,
  event_cost integer not null,
  constraint plans_pkey primary key (name),
  constraint plans_name_has_1_to_50_characters check (char_length(name) between 1 and 50),
  constraint plans_monthly_events_is_not_negative check (monthly_events >= 0),
  constraint plans_event_cost_is_1_to_1000000 check (event_cost between 1 and 1000000)
);

comment on table public.plans is 'Plans that users are on; changed by the service role.';
comment on column public.plans.monthly_events is 'Events included in a calendar month, UTC.';
comment on column public.plans.event_cost is 'Credits for each event beyond those included.';

-- Reference data: no event can be created without the first of them.
insert into public.plans (name, monthly_events, event_cost)
values ('free', 3, 5), ('team', 100, 2);

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
  cost integer not null,
  created_at timestamptz not null default now(),
  constraint events_pkey primary key (id),
  constraint events_user_id_request_id_key unique (user_id, request_id),
  constraint events_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint events_title_has_1_to_200_characters check (char_length(title) between 1 and 200),
  constraint events_starts_at_is_in_2000_to_2099
    check (starts_at >= '2000-01-01T00:00:00Z' and starts_at < '2100-01-01T00:00:00Z'),
  constraint events_location_has_1_to_200_characters check (char_length(location) between 1 and 200),
  constraint events_description_has_1_to_2000_characters check (char_length(description) between 1 and 2000),
  constraint events_cost_is_0_to_1000000 check (cost between 0 and 1000000)
);

comment on table public.events is 'Events that users created; written by create_event.';
comment on column public.events.cost is 'In credits; 0: included in the plan.';
comment on column public.events.request_id is
  'The same for every attempt at one request, so that all of them find one event.';

-- for the list, newest first, and for counting a month's events
create index events_user_id_created_at_idx on public.events (user_id, created_at desc, id);

alter table public.events enable row level security;

create policy events_select_own on public.events
  for select to authenticated using ((select auth.uid()) = user_id);

revoke all on public.events from public, anon, authenticated, service_role;
grant select on public.events to authenticated;
grant select, insert, update, delete on public.events to service_role;

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
  -- without a zone: a month added to a timestamptz is one of the session's zone
  v_month constant timestamp := date_trunc('month', now() at time zone 'UTC');
  v_plan public.plans;
  v_event public.events;
  v_included bigint;
  v_cost integer;
  v_balance bigint;
begin
  if v_user_id is null then
    raise exception 'creating an event: nobody is signed in' using errcode = '42501';
  end if;

  -- One decision at a time for each user: whoever comes second waits here, and then counts and
  -- reads what the first has left.
  insert into public.credit_balances (user_id) values (v_user_id) on conflict do nothing;
  select b.balance into v_balance
  from public.credit_balances as b
  where b.user_id = v_user_id
  for update;

  select e.* into v_event
  from public.events as e
  where e.user_id = v_user_id and e.request_id = p_request_id;

  if not found then
    select p.* into v_plan
    from public.plans as p
    where p.name = coalesce((select u.plan_name from public.user_plans as u where u.user_id = v_user_id), 'free');

    if not found then
      raise exception 'creating an event: there is no plan "free"' using errcode = 'P0002';
    end if;

    -- Up to the end of the month too: who waited over midnight comes after events of the next one.
    select count(*) into v_included
    from public.events as e
    where e.user_id = v_user_id and e.cost = 0
      and e.created_at >= v_month at time zone 'UTC'
      and e.created_at < (v_month + interval '1 month') at time zone 'UTC';

    v_cost := case when v_included < v_plan.monthly_events then 0 else v_plan.event_cost end;

    -- Agreed to is the price that was told, where the caller says which: it may have risen since.
    if v_cost > 0 and (p_confirm_credit is not true or v_cost > p_max_cost) then
      return jsonb_build_object('outcome', 'question', 'cost', v_cost, 'balance', v_balance);
    end if;

    if v_cost > v_balance then
      return jsonb_build_object('outcome', 'too_few_credits', 'cost', v_cost, 'balance', v_balance);
    end if;

    insert into public.events (user_id, request_id, title, starts_at, location, description, cost)
    values (v_user_id, p_request_id, p_title, p_starts_at, p_location, p_description, v_cost)
    returning * into v_event;

    if v_cost > 0 then
      insert into public.credit_entries (user_id, kind, amount, reason, request_id)
      values (v_user_id, 'spend', -v_cost, 'event ' || v_event.id, p_request_id);
      v_balance := v_balance - v_cost;
    end if;
  end if;

  return jsonb_build_object(
    'outcome', 'created',
    'event', to_jsonb(v_event) - '{user_id,request_id}'::text[],
    'cost', v_event.cost,
    'balance', v_balance
  );
end;
$$;

comment on function public.create_event(text, text, timestamptz, text, text, boolean, integer) is
  'Creates an event of the caller once per request id: created, question (confirm its cost), or too_few_credits; the last two spend nothing.';

revoke all on function public.create_event(text, text, timestamptz, text, text, boolean, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.create_event(text, text, timestamptz, text, text, boolean, integer) to authenticated;
