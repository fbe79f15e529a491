-- The tables of a project as people have them; the guides write to these.
create table public.orders (
  id uuid primary key default gen_random_uuid(),
  user_id uuid default auth.uid(),
  item text not null
);
alter table public.orders enable row level security;
create policy own_orders on public.orders to authenticated
using (user_id = auth.uid()) with check (user_id = auth.uid());
grant select, insert on public.orders to authenticated, service_role;

create table public.greetings (
  id bigint generated always as identity primary key,
  name text not null
);
create table public.signups (
  id uuid primary key default gen_random_uuid(),
  email text not null,
  version integer not null default 1,
  created_at timestamptz not null default now()
);
create table public.mails (
  id bigint generated always as identity primary key,
  recipient text not null,
  subject text not null
);
create table public.closings (
  id bigint generated always as identity primary key,
  tick text not null
);
create table public.payments (
  id bigint generated always as identity primary key,
  event_id text not null,
  payment_intent_id text not null unique,
  amount bigint not null
);
create table public.deliveries (
  id bigint generated always as identity primary key,
  type text not null
);
create table public.reports (
  id bigint generated always as identity primary key,
  name text not null
);
alter table public.greetings enable row level security;
alter table public.signups enable row level security;
alter table public.mails enable row level security;
alter table public.closings enable row level security;
alter table public.payments enable row level security;
alter table public.deliveries enable row level security;
alter table public.reports enable row level security;
grant select, insert, update, delete on all tables in schema public to service_role;
