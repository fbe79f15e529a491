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
