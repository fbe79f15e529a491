-- What the tables of the CRM keep by themselves, and that every one of them is made alike.
begin;
select plan(36);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');
insert into public.organizations (id, name) values ('00000000-0000-4000-9000-000000000001', 'Travel Ltd');
insert into public.organization_members (organization_id, user_id) values
  ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000b');

create view pg_temp.resources as
select c.oid, c.relname
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname ~ '^crm_' and c.relname <> 'crm_audit';

select is((select count(*) from pg_temp.resources), 16::bigint, 'there are sixteen resources');
select is_empty(
  $$
    select r.relname, t.name from pg_temp.resources as r
    cross join (values
      ('archived_rows_are_only_restored'), ('crm_belong_to_their_author'), ('crm_keep_rules'), ('crm_write_audit')
    ) as t (name)
    where not exists (select from pg_trigger as g where g.tgrelid = r.oid and g.tgname = t.name)
  $$,
  'each has soft delete, an owner, rules and an audit trail'
);
select is_empty(
  $$
    select r.relname from pg_temp.resources as r
    where (select count(*) from pg_policy as p where p.polrelid = r.oid) <> 4
      or not exists (select from pg_policy as p where p.polrelid = r.oid and not p.polpermissive)
  $$,
  'each has a policy to select, to insert and to update, and one that keeps archived rows out'
);
select is_empty(
  $$
    select k.conrelid::regclass, k.conname from pg_constraint as k
    join pg_temp.resources as r on r.oid = k.conrelid
    where k.contype = 'f' and not exists (
      select from pg_index as i
      where i.indrelid = k.conrelid
        and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] = k.conkey
    )
  $$,
  'every foreign key has an index'
);
select is_empty(
  $$
    select k.conname from pg_constraint as k
    join pg_temp.resources as r on r.oid = k.conrelid
    join pg_class as f on f.oid = k.confrelid
    where k.contype = 'f' and f.relname ~ '^crm_'
      and (select a.attname from pg_attribute as a where a.attrelid = k.conrelid and a.attnum = k.conkey[1]) <> 'owner_id'
  $$,
  'a row refers to rows of its owner only'
);
select hasnt_function('crm_make_resource', 'what made them is gone');

create function pg_temp.refused(p_table text, p_change text, p_constraint text) returns text language plpgsql as $$
declare
  v_constraint text;
begin
  execute format('update public.%I set %s', p_table, p_change);
  return fail(p_constraint || ' holds');
exception when check_violation then
  get stacked diagnostics v_constraint = constraint_name;
  return is(v_constraint, p_constraint, p_constraint);
end;
$$;

insert into public.crm_clients (id, user_id, name) values
  ('00000000-0000-4000-9000-00000000000c', '00000000-0000-4000-8000-00000000000a', 'c');
insert into public.crm_invoices_receivable (user_id, number, client_id, amount_minor, currency, issued_on, due_on) values
  ('00000000-0000-4000-8000-00000000000a', 'n', '00000000-0000-4000-9000-00000000000c', 100, 'EUR', '2027-01-01', '2027-02-01');
select pg_temp.refused('crm_invoices_receivable', 'paid_minor = 101', 'crm_invoices_receivable_paid_minor_is_at_most_amount_minor');
select pg_temp.refused('crm_invoices_receivable', $$due_on = '2026-12-31'$$, 'crm_invoices_receivable_due_on_is_not_before_issued_on');
select lives_ok($$update public.crm_invoices_receivable set status = 'issued'$$, 'a draft is issued');
select pg_temp.refused('crm_invoices_receivable', 'amount_minor = 0', 'crm_invoices_receivable_amount_minor_is_what_was_issued');
select pg_temp.refused('crm_invoices_receivable', $$status = 'paid'$$, 'crm_invoices_receivable_status_is_paid_only_with_all_of_it');
select throws_ok($$update public.crm_invoices_receivable set archived_at = now()$$, '23514', null, 'what is owed is not archived');
select throws_ok($$update public.crm_invoices_receivable set status = 'draft'$$, 'CR001', null, 'nor is it a draft again');

insert into public.crm_bookings (user_id, title, client_id, starts_on, ends_on, travellers, total_minor, currency, status) values
  ('00000000-0000-4000-8000-00000000000a', 't', '00000000-0000-4000-9000-00000000000c', '2027-01-01', '2027-01-02', 1, 100, 'EUR', 'confirmed');
select throws_ok($$update public.crm_bookings set status = 'draft'$$, 'CR001', null, 'what was confirmed to a client is no draft again');

insert into public.crm_providers (id, user_id, name) values
  ('00000000-0000-4000-9000-00000000000d', '00000000-0000-4000-8000-00000000000a', 'p');
create function pg_temp.receive() returns void language sql as $$
  insert into public.crm_invoices_payable (user_id, number, provider_id, amount_minor, currency, issued_on, due_on) values
    ('00000000-0000-4000-8000-00000000000a', 'n', '00000000-0000-4000-9000-00000000000d', 100, 'EUR', '2027-01-01', '2027-02-01');
$$;
select pg_temp.receive() \g /dev/null
select throws_ok($$select pg_temp.receive()$$, '23505', null, 'a provider''s invoice comes once');
select pg_temp.refused('crm_invoices_payable', 'paid_minor = 101', 'crm_invoices_payable_paid_minor_is_at_most_amount_minor');
select pg_temp.refused('crm_invoices_payable', $$due_on = '2026-12-31'$$, 'crm_invoices_payable_due_on_is_not_before_issued_on');
select lives_ok($$update public.crm_invoices_payable set status = 'approved'$$, 'it is approved');
select pg_temp.refused('crm_invoices_payable', $$amount_minor = 900, status = 'rejected'$$, 'crm_invoices_payable_amount_minor_is_what_was_approved');
select pg_temp.refused('crm_invoices_payable', $$number = 'n2'$$, 'crm_invoices_payable_number_is_what_was_approved');
select pg_temp.refused('crm_invoices_payable', $$status = 'paid'$$, 'crm_invoices_payable_status_is_paid_only_with_all_of_it');
select throws_ok($$update public.crm_invoices_payable set archived_at = now()$$, '23514', null, 'what is to be paid is not archived');
select throws_ok($$update public.crm_invoices_payable set status = 'received'$$, 'CR001', null, 'nor is it unseen again');
update public.crm_invoices_payable set status = 'rejected';
select lives_ok($$select pg_temp.receive()$$, 'after one that was rejected it may come anew');

set local role authenticated;
select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-00000000000a"}', true) \g /dev/null
create function pg_temp.call(p_resource text, p_id text) returns text language sql as $$
  select public.crm_change(p_resource, 'update', p_id::uuid, '{"phone": "1"}', null, '{"id": "call"}') ->> 'phone';
$$;
select is(pg_temp.call('clients', '00000000-0000-4000-9000-00000000000c'), '1', 'a request changes a row');
select throws_ok($$select pg_temp.call('providers', '00000000-0000-4000-9000-00000000000d')$$, 'CR006', null, 'and is about no other');
create function pg_temp.too_long(p_resource text, p_fields jsonb, p_request jsonb, p_rule text) returns text language sql as $$
  select throws_ok(
    format('select public.crm_create(%L, %L, null, %L)', p_resource, p_fields, p_request), 'CR003', null, 'bounded: ' || p_rule
  );
$$;
select pg_temp.too_long('roles', jsonb_build_object('name', 'n', 'permissions', array[repeat('p', 10001)]), '{"id": "p"}', 'permissions');
select pg_temp.too_long(
  'guides', jsonb_build_object('name', 'n', 'daily_rate_minor', 1, 'currency', 'EUR', 'languages', array[repeat('l', 10001)]), '{"id": "l"}', 'languages'
);
select pg_temp.too_long('clients', '{"name": "n"}', jsonb_build_object('id', 'long', t.name, repeat('r', 257)), t.name || ' in the audit trail')
from (values ('key'), ('method'), ('route')) as t (name);
create function pg_temp.make() returns jsonb language sql as $$
  select public.crm_create('clients', '{"name": "n"}', null, '{"id": "make"}');
$$;
select pg_temp.make() \g /dev/null
reset role;
select set_config('crm.request', '', true) \g /dev/null
update public.crm_clients set archived_at = now() where request_id = 'make';
-- What this transaction archives it sees: this one was archived before.
update public.crm_clients set archived_at = now() - interval '1 hour' where request_id = 'make';
set local role authenticated;
select set_config('archive.included', '', true) \g /dev/null
select isnt(pg_temp.make() ->> 'archived_at', null, 'who asks again is given what they made, though it is archived by now');
reset role;
select set_config('crm.request', '', true) \g /dev/null

insert into public.crm_users (organization_id, account_id, full_name) values
  ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000b', 'b');
select throws_ok(
  $$insert into public.crm_users (user_id, account_id, full_name) values ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b', 'b')$$,
  '23514', null, 'a user of no organisation keeps no profile of another''s account'
);
select lives_ok($$delete from auth.users$$, 'accounts end');
select results_eq(
  $$select full_name, account_id from public.crm_users$$, $$values ('b', null::uuid)$$,
  'what was the organisation''s stays, without the account; the rest goes along'
);
select lives_ok($$delete from public.organizations$$, 'and with the organisation all of it goes');

select * from finish();
rollback;
