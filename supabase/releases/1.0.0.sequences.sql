-- Generated from supabase/schemas/sequences/ by `deno task sql`: change it there.

-- Document numbers without gaps: INV-202510-0001.
--
-- The counter is a row that is updated in the transaction which writes the document, not a sequence:
-- a sequence gives its numbers out for good, a row takes them back with a rollback. The price is
-- that a second document of the same kind, business and month waits for the first one's commit, so
-- the number is to be the last thing that a transaction asks for.
--
-- What a business is, is the project's own affair: to number by its calendar, replace
-- document_time_zone; to let its members see the counters, add a policy and a grant.

create table public.document_sequences (
  business_id uuid not null,
  kind text not null,
  period text not null,
  last_number bigint not null,
  constraint document_sequences_pkey primary key (business_id, kind, period),
  constraint document_sequences_kind_is_known check (kind in ('invoice', 'receipt', 'transfer', 'return')),
  constraint document_sequences_period_is_a_year_and_month check (period ~ '^[0-9]{4}(0[1-9]|1[0-2])$'),
  constraint document_sequences_last_number_is_positive check (last_number > 0)
);

comment on table public.document_sequences is 'The last number given out, per business, kind of document and month.';
comment on column public.document_sequences.period is 'YYYYMM, by the calendar of the business.';

alter table public.document_sequences enable row level security;

create policy document_sequences_select_as_service on public.document_sequences
  for select to service_role using (true);

-- Written by next_document_number alone: any other write makes a gap or a number twice.
revoke all on public.document_sequences from public, anon, authenticated, service_role;
grant select on public.document_sequences to service_role;

create function public.document_period(p_time timestamptz, p_time_zone text) returns text
language sql
immutable
security invoker
set search_path = ''
as $$ select to_char(p_time at time zone p_time_zone, 'YYYYMM'); $$;

comment on function public.document_period(timestamptz, text) is
  'The month in which documents of that time are numbered, by a calendar: YYYYMM.';

create function public.document_time_zone(p_business_id uuid) returns text
language sql
stable
security invoker
set search_path = ''
as $$ select 'UTC' where p_business_id is not null; $$;

comment on function public.document_time_zone(uuid) is
  'Whose calendar names the month in a business''s document numbers; null: there is no such business. To be replaced.';

-- security definer: the service role may take a number, and write the counter no other way.
create function public.next_document_number(p_business_id uuid, p_kind text) returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_prefix constant text := case p_kind
    when 'invoice' then 'INV'
    when 'receipt' then 'RCP'
    when 'transfer' then 'TRF'
    when 'return' then 'RET'
  end;
  v_time_zone constant text := public.document_time_zone(p_business_id);
  v_period text;
  v_number bigint;
begin
  if v_prefix is null then
    raise exception 'numbering a document: the kind must be invoice, receipt, transfer or return, not %', coalesce(quote_literal(left(p_kind, 100)), 'null')
      using errcode = '22023';
  end if;

  if v_time_zone is null then
    raise exception 'numbering a document: there is no business %', coalesce(p_business_id::text, 'null')
      using errcode = 'P0002';
  end if;

  -- now(), not clock_timestamp(): the month of the number is that of the document's created_at, also
  -- for a transaction that spends midnight waiting.
  v_period := public.document_period(now(), v_time_zone);

  insert into public.document_sequences as s (business_id, kind, period, last_number)
  values (p_business_id, p_kind, v_period, 1)
  on conflict (business_id, kind, period) do update set last_number = s.last_number + 1
  returning s.last_number into v_number;

  -- lpad also cuts: 10000 would become 1000
  return v_prefix || '-' || v_period || '-' || lpad(v_number::text, greatest(4, length(v_number::text)), '0');
end;
$$;

comment on function public.next_document_number(uuid, text) is
  'The next number of a kind of document; given back if the transaction rolls back. SQLSTATE P0002: no such business.';

create function public.get_next_invoice_number(p_business_id uuid) returns text
language sql
volatile
security invoker
set search_path = ''
as $$ select public.next_document_number(p_business_id, 'invoice'); $$;

create function public.get_next_receipt_number(p_business_id uuid) returns text
language sql
volatile
security invoker
set search_path = ''
as $$ select public.next_document_number(p_business_id, 'receipt'); $$;

create function public.get_next_transfer_number(p_business_id uuid) returns text
language sql
volatile
security invoker
set search_path = ''
as $$ select public.next_document_number(p_business_id, 'transfer'); $$;

create function public.get_next_return_number(p_business_id uuid) returns text
language sql
volatile
security invoker
set search_path = ''
as $$ select public.next_document_number(p_business_id, 'return'); $$;

comment on function public.get_next_invoice_number(uuid) is 'The next invoice number, such as INV-202510-0001.';
comment on function public.get_next_receipt_number(uuid) is 'The next number of a purchase receipt, such as RCP-202510-0001.';
comment on function public.get_next_transfer_number(uuid) is 'The next number of a transfer, such as TRF-202510-0001.';
comment on function public.get_next_return_number(uuid) is 'The next number of a refund, such as RET-202510-0001.';

-- Not for signed-in users: a call through the API commits alone, and a number without a document is
-- a gap. They get theirs from the functions that write the document.
revoke all on function
  public.document_period(timestamptz, text),
  public.document_time_zone(uuid),
  public.next_document_number(uuid, text),
  public.get_next_invoice_number(uuid),
  public.get_next_receipt_number(uuid),
  public.get_next_transfer_number(uuid),
  public.get_next_return_number(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.next_document_number(uuid, text),
  public.get_next_invoice_number(uuid),
  public.get_next_receipt_number(uuid),
  public.get_next_transfer_number(uuid),
  public.get_next_return_number(uuid)
  to service_role;
