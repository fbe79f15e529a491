-- Payments as the payment provider reported them; written by the webhook with the secret key.

create table public.payments (
  id uuid not null default gen_random_uuid(),
  event_id text not null,
  payment_intent_id text not null,
  user_id uuid,
  amount bigint not null,
  currency text not null,
  paid_at timestamptz not null,
  created_at timestamptz not null default now(),
  constraint payments_pkey primary key (id),
  -- One rule for two kinds of repeats: one event delivered twice, and two events about one payment.
  constraint payments_payment_intent_id_key unique (payment_intent_id),
  constraint payments_event_id_has_1_to_255_characters check (char_length(event_id) between 1 and 255),
  constraint payments_payment_intent_id_has_1_to_255_characters
    check (char_length(payment_intent_id) between 1 and 255),
  constraint payments_amount_is_not_negative check (amount >= 0),
  constraint payments_currency_is_3_lowercase_letters check (currency ~ '^[a-z]{3}$')
);

comment on table public.payments is 'One row for each payment that succeeded at the payment provider.';
comment on column public.payments.amount is
  'In the currency''s smallest unit, as the provider counts: cents for eur, yen for jpy.';
comment on column public.payments.user_id is
  'From the payment''s metadata. No foreign key: money that arrived is booked whether the account is still there or not.';
comment on column public.payments.paid_at is 'When the provider says that it happened.';

create index payments_user_id_idx on public.payments (user_id);

alter table public.payments enable row level security;

create policy payments_select_own on public.payments
  for select to authenticated using ((select auth.uid()) = user_id);

revoke all on public.payments from public, anon, authenticated, service_role;
grant select on public.payments to authenticated;
grant select, insert, update, delete on public.payments to service_role;
