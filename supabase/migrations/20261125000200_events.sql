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
