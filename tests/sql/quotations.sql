-- Quotations: who may do what, the rules of rows, the index that lists use.
begin;
select plan(40);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
$$;

create function pg_temp.refused(p_table text, p_set text, p_constraint text) returns text language plpgsql as $$
begin
  execute format('update public.%I set %s', p_table, p_set);
  return fail(p_constraint || ' let ' || p_set || ' through');
exception when check_violation then
  return ok(sqlerrm like '%"' || p_constraint || '"%', p_constraint);
end;
$$;

insert into public.quotations (id, user_id, request_id, customer_name, currency, valid_until) values
  ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000a', 'r1', 'c', 'EUR', '2999-01-01');
insert into public.quotation_lines (quotation_id, position, description, quantity, unit_price_minor, tax_basis_points)
values ('00000000-0000-4000-9000-000000000001', 1, 'd', 1.5, 101, 1900);

select results_eq(
  $$select version, net_minor, tax_minor, total_minor from public.quotations$$, $$values (1, 152::bigint, 29::bigint, 181::bigint)$$,
  'lines sum up, each rounded half away from zero, as part of the same change'
);

select pg_temp.refused('quotations', $$customer_name = ''$$, 'quotations_customer_name_has_1_to_200_characters');
select pg_temp.refused('quotations', $$currency = 'eur'$$, 'quotations_currency_is_three_capitals');
select pg_temp.refused('quotations', $$valid_until = '10000-01-01'$$, 'quotations_valid_until_has_four_digits_of_year');
select pg_temp.refused('quotations', $$net_minor = -1$$, 'quotations_amounts_are_not_negative');
select pg_temp.refused('quotation_history', $$request_id = ''$$, 'quotation_history_request_id_has_1_to_256_characters');
select pg_temp.refused('quotation_lines', $$position = 101$$, 'quotation_lines_position_is_1_to_100');
select pg_temp.refused('quotation_lines', $$description = ''$$, 'quotation_lines_description_has_1_to_200_characters');
select pg_temp.refused('quotation_lines', $$quantity = 0$$, 'quotation_lines_quantity_is_positive');
select pg_temp.refused('quotation_lines', $$unit_price_minor = -1$$, 'quotation_lines_unit_price_is_not_negative');
select pg_temp.refused('quotation_lines', $$quantity = 10.001, unit_price_minor = 1000000000000$$, 'quotation_lines_net_is_at_most_10_trillion');
select pg_temp.refused('quotation_lines', $$tax_basis_points = 10001$$, 'quotation_lines_tax_is_0_to_100_percent');
select throws_ok(
  $$insert into public.quotations (user_id, request_id, customer_name, currency) values ('00000000-0000-4000-8000-00000000000a', 'r1', 'c', 'EUR')$$,
  '23505', null, 'one request makes one quotation'
);

select results_eq(
  $$
    select f.status || ' ' || t.status
    from unnest(array['draft', 'sent', 'accepted', 'rejected', 'expired']) as f (status)
    cross join unnest(array['draft', 'sent', 'accepted', 'rejected', 'expired']) as t (status)
    where public.quotation_may_become(f.status, t.status)
    order by 1
  $$,
  $$values ('draft sent'), ('sent accepted'), ('sent expired'), ('sent rejected')$$,
  'four transitions are legal, of twenty-five'
);

select is_empty(
  $$select relname from pg_class where relnamespace = 'public'::regnamespace and relname like 'quotation%' and relkind = 'r' and not relrowsecurity$$,
  'row level security is on'
);
select table_privs_are('public', t.name, 'anon', array[]::text[])
from (values ('quotations'), ('quotation_lines'), ('quotation_history')) as t (name);
select table_privs_are('public', 'quotations', 'authenticated', array['SELECT']);
select table_privs_are('public', 'quotation_lines', 'authenticated', array['DELETE', 'SELECT']);
select table_privs_are('public', 'quotation_history', 'authenticated', array['SELECT']);
select table_privs_are('public', 'quotation_history', 'service_role', array['SELECT']);
select ok(
  not has_column_privilege(r.role, 'public.quotations', c.name, 'insert, update'), r.role || ' does not write ' || c.name
)
from (values ('authenticated'), ('service_role')) as r (role), (values ('net_minor'), ('version')) as c (name);
select is_empty(
  $$
    select p.proname from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ 'quotation'
      and (has_function_privilege('anon', p.oid, 'execute') or not p.proconfig @> array['search_path=""'])
  $$,
  'no function of quotations is open to anon or leaves its search path open'
);

insert into public.quotations (user_id, request_id, customer_name, currency, created_at)
select '00000000-0000-4000-8000-00000000000b', 'r' || n, 'c', 'EUR', now() - n * interval '1 minute'
from generate_series(1, 20000) as n;
update public.quotations set archived_at = now() where request_id ~ '[1-9]$' and user_id = '00000000-0000-4000-8000-00000000000b';
-- What this transaction archives it sees: these were archived before.
update public.quotations set archived_at = now() - interval '1 hour' where archived_at is not null;
analyze public.quotations;

create function pg_temp.plan_of(p_query text) returns text language plpgsql as $$
declare
  v_line text;
  v_plan text := '';
begin
  for v_line in execute 'explain (costs off) ' || p_query loop
    v_plan := v_plan || v_line || e'\n';
  end loop;
  return v_plan;
end;
$$;
grant execute on function pg_temp.plan_of(text) to authenticated;

set local role authenticated;
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null

select matches(
  pg_temp.plan_of($$
    select id from public.quotations
    where owner_id = '00000000-0000-4000-8000-00000000000b' and archived_at is null and created_at <= now() and (created_at < now() or id < '00000000-0000-4000-9000-000000000001')
    order by created_at desc, id desc limit 50
  $$),
  'Scan Backward using quotations_owner_id_created_at_id_idx', 'a page is read along the index of live rows'
);
select is((select count(*) from public.quotations), 2000::bigint, 'a user sees their own');
select set_config('archive.included', 'true', true) \g /dev/null
select is((select count(*) from public.quotations), 20000::bigint, 'archived ones too, where they ask for them');
select set_config('archive.included', '', true) \g /dev/null
select set_config('request.headers', '{"x-include-archived": "true"}', true) \g /dev/null
select is((select count(*) from public.quotations), 20000::bigint, 'by the header of the request as well');
select set_config('request.headers', '', true) \g /dev/null
select is((select count(*) from public.quotations), 2000::bigint, 'and for that request only');
select throws_ok(
  $$insert into public.quotation_lines (quotation_id, position, description, quantity, unit_price_minor) values ('00000000-0000-4000-9000-000000000001', 2, 'd', 1, 1)$$,
  '42501', null, 'and adds no line to another''s'
);


select isnt(
  public.create_quotation('{"customer_name": "c", "currency": "EUR", "lines": []}', 'r1') ->> 'archived_at', null,
  'who asks again is given what they made, though it is archived by now'
);
select throws_ok(
  format($$select public.change_quotation_status(%L, 'sent', array[0], 'late')$$, (select id from public.quotations where request_id = 'r1')),
  'SD001', null, 'and told that it is archived, whichever version they saw'
);
select set_config('archive.included', '', true) \g /dev/null
insert into public.quotations (request_id, customer_name, currency, valid_until)
values ('both', 'c', 'EUR', (now() at time zone 'utc')::date);
insert into public.quotation_lines (quotation_id, position, description, quantity, unit_price_minor)
select id, 1, 'd', 1, 1 from public.quotations where request_id = 'both';
select set_config('quotation.request', 'one-update', true) \g /dev/null
select lives_ok(
  $$update public.quotations set status = 'sent', archived_at = now() where request_id = 'both'$$,
  'its last day is one on which a quotation is sent'
);
select results_eq(
  $$
    select h.action, h.from_status, h.to_status, h.request_id from public.quotation_history as h
    join public.quotations as q on q.id = h.quotation_id
    where q.request_id = 'both' and h.version = q.version order by h.id
  $$,
  $$values ('status_changed', 'draft', 'sent', 'one-update'), ('archived', 'sent', 'sent', null)$$,
  'one update that does both leaves both in the trail'
);

set local role service_role;
select set_config('request.jwt.claims', '', true) \g /dev/null
select lives_ok(
  $$delete from public.quotations where id = '00000000-0000-4000-9000-000000000001'$$, 'the service role deletes for good'
);
select results_eq(
  $$
    select action, changed_by from public.quotation_history
    where quotation_id = '00000000-0000-4000-9000-000000000001' order by id
  $$,
  $$values ('created', null::uuid), ('deleted', null)$$,
  'which the audit trail outlives'
);

reset role;
delete from auth.users where id = '00000000-0000-4000-8000-00000000000b';
select is_empty($$select from public.quotation_history where user_id = '00000000-0000-4000-8000-00000000000b'$$, 'a user''s trail goes with the user');

select * from finish();
rollback;
