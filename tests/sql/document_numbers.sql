-- Document numbers: their form, their month, and who may take one.
begin;
select plan(18);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b');
insert into public.businesses (id, name, currency, time_zone) values
  ('00000000-0000-4000-8000-0000000000b1', 'Tea', 'EUR', 'Asia/Kolkata'),
  ('00000000-0000-4000-8000-0000000000b2', 'Pots', 'EUR', 'UTC');
insert into public.memberships (business_id, user_id, role) values
  ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000a', 'owner');

select is(public.document_period('2025-10-31 23:30:00Z', 'UTC'), '202510', 'late on the last of October it is October in UTC');
select is(public.document_period('2025-10-31 23:30:00Z', 'Europe/Berlin'), '202511', 'and November in Berlin');
select is(public.document_period('2025-01-01 03:00:00Z', 'America/New_York'), '202412', 'New York is still in the old year');

-- In place of the clock, which a test cannot turn: the month is made of the zone.
create or replace function public.document_period(p_time timestamptz, p_time_zone text) returns text
language sql immutable as $$ select case p_time_zone when 'Asia/Kolkata' then '202510' else '202511' end; $$;

select is(public.get_next_invoice_number('00000000-0000-4000-8000-0000000000b1'), 'INV-202510-0001', 'an invoice number');
select is(public.get_next_invoice_number('00000000-0000-4000-8000-0000000000b1'), 'INV-202510-0002', 'the next');
select is(public.get_next_receipt_number('00000000-0000-4000-8000-0000000000b1'), 'RCP-202510-0001', 'the number of a purchase receipt');
select is(public.get_next_transfer_number('00000000-0000-4000-8000-0000000000b1'), 'TRF-202510-0001', 'the number of a transfer');
select is(public.get_next_return_number('00000000-0000-4000-8000-0000000000b1'), 'RET-202510-0001', 'the number of a refund');
select is(public.get_next_invoice_number('00000000-0000-4000-8000-0000000000b2'), 'INV-202511-0001', 'another business counts for itself, by its own calendar');

update public.document_sequences set last_number = 9999
where business_id = '00000000-0000-4000-8000-0000000000b1' and kind = 'invoice';
select is(public.get_next_invoice_number('00000000-0000-4000-8000-0000000000b1'), 'INV-202510-10000', 'after 9999 comes a fifth digit');

savepoint taken;
select public.get_next_invoice_number('00000000-0000-4000-8000-0000000000b1') \g /dev/null
rollback to savepoint taken;
select is(public.get_next_invoice_number('00000000-0000-4000-8000-0000000000b1'), 'INV-202510-10001', 'a number that was rolled back is given out again');

select throws_ok($$select public.next_document_number('00000000-0000-4000-8000-0000000000b1', 'quote')$$, '22023', null, 'an unknown kind is refused');
select throws_ok($$select public.next_document_number('00000000-0000-4000-8000-0000000000b9', 'invoice')$$, 'P0002', null, 'an unknown business too');
select throws_ok($$insert into public.businesses (name, currency, time_zone) values ('x', 'EUR', 'Mars/Olympus')$$, '22023', null, 'a business has a time zone that exists');

set local role service_role;
select is(public.get_next_return_number('00000000-0000-4000-8000-0000000000b2'), 'RET-202511-0001', 'the service role takes a number');
select throws_ok($$update public.document_sequences set last_number = 1$$, '42501', null, 'and writes the counter no other way');

set local role authenticated;
select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-00000000000a"}', true) \g /dev/null
select throws_ok($$select public.get_next_invoice_number('00000000-0000-4000-8000-0000000000b1')$$, '42501', null, 'a signed-in user takes none without a document');
select is((select count(distinct business_id)::int from public.document_sequences), 1, 'and sees the counters of their own businesses');

select * from finish();
rollback;
