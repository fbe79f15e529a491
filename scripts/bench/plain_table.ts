/** Makes anew what one writes by hand: a table with the one key that it needs. */
export const PLAIN = `drop table if exists public.bench_plain;
create table public.bench_plain (
  user_id uuid not null,
  scope text not null,
  key text not null,
  status text not null default 'processing',
  status_code integer,
  response text,
  headers jsonb,
  created_at timestamptz not null default now(),
  primary key (user_id, scope, key)
);
grant all on public.bench_plain to service_role`;
