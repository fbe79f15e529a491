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
