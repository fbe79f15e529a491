-- Who shares what with whom, and who says so.
begin;
select plan(30);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b'),
  ('00000000-0000-4000-8000-00000000000c'),
  ('00000000-0000-4000-8000-00000000000d'),
  ('00000000-0000-4000-8000-00000000000e');

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', '00000000-0000-4000-8000-00000000000' || p_user)::text, true);
$$;

set local role authenticated;
select throws_ok($$select public.create_organization('Nobody''s')$$, '42501', null, 'nobody who is not signed in makes one');

select pg_temp.sign_in('a') \g /dev/null
select lives_ok(
  $$select public.create_organization('Travel Ltd', '00000000-0000-4000-9000-000000000001')$$, 'a user makes one'
);
select lives_ok(
  $$select public.create_organization('Travel Ltd', '00000000-0000-4000-9000-000000000001')$$, 'a second time it is there'
);
select results_eq(
  $$select user_id, role from public.organization_members$$,
  $$values ('00000000-0000-4000-8000-00000000000a'::uuid, 'owner')$$, 'who made it owns it'
);
select lives_ok(
  $$insert into public.organization_members (organization_id, user_id) values
    ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000b'),
    ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000d')$$,
  'and takes in colleagues'
);
select throws_ok(
  $$insert into public.organization_members (organization_id, user_id, role) values ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000c', 'owner')$$,
  '42501', null, 'but no second owner'
);
select throws_ok(
  $$update public.organization_members set role = 'owner' where user_id = '00000000-0000-4000-8000-00000000000b'$$,
  '42501', null, 'nor makes one of them'
);
select is_empty($$update public.organization_members set role = 'admin' where role = 'owner' returning role$$, 'nor is an admin instead');
select is_empty($$delete from public.organization_members where role = 'owner' returning role$$, 'nor leaves it without one');
select lives_ok(
  $$select public.create_quotation('{"customer_name": "c", "currency": "EUR", "lines": []}', 'one', '00000000-0000-4000-9000-000000000001')$$,
  'a quotation of the organisation'
);
select lives_ok(
  $$insert into public.quotations (customer_name, currency, request_id) values ('mine', 'EUR', 'one')$$, 'and one''s own'
);
select results_eq(
  $$
    select public.create_quotation('{"customer_name": "e", "currency": "EUR", "lines": []}', 'one', o.id) ->> 'customer_name'
    from unnest(array['00000000-0000-4000-9000-000000000001', null]::uuid[]) with ordinality as o (id, place) order by o.place
  $$,
  $$values ('c'), ('mine')$$, 'each is found again by the same request'
);

select pg_temp.sign_in('c') \g /dev/null
select throws_ok(
  $$select public.create_organization('Mine', '00000000-0000-4000-9000-000000000001')$$, '23505', null, 'an id is nobody else''s'
);
select is_empty($$select from public.organizations$$, 'a stranger does not see that there is one');
select is_empty($$select from public.quotations$$, 'nor what is its');
select throws_ok(
  $$insert into public.organization_members (organization_id, user_id) values ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000c')$$,
  '42501', null, 'nor joins it'
);
select throws_ok(
  $$insert into public.quotations (customer_name, currency, organization_id) values ('c', 'EUR', '00000000-0000-4000-9000-000000000001')$$,
  '42501', null, 'nor gives it anything'
);

select pg_temp.sign_in('b') \g /dev/null
select results_eq($$select customer_name from public.quotations$$, $$values ('c')$$, 'a colleague shares what is the organisation''s');
select isnt_empty($$select from public.quotation_history$$, 'and its history');
select isnt_empty($$update public.quotations set customer_name = 'd' returning id$$, 'and works on it');
select is_empty(
  $$update public.organization_members set role = 'admin' where user_id = '00000000-0000-4000-8000-00000000000b' returning role$$,
  'but makes nobody an admin'
);
select is_empty($$update public.organizations set name = 'Ours' returning id$$, 'names it no other way');
select is_empty($$delete from public.organizations returning id$$, 'and dissolves it no more');
select throws_ok(
  $$select public.create_organization('Ours', '00000000-0000-4000-9000-000000000001')$$, '23505', null, 'nor is it theirs to make again'
);
select results_eq(
  $$delete from public.organization_members returning user_id$$, $$values ('00000000-0000-4000-8000-00000000000b'::uuid)$$,
  'puts nobody out, and may leave'
);
select is_empty($$select from public.quotations$$, 'and then sees nothing any more');

reset role;
delete from auth.users where id = '00000000-0000-4000-8000-00000000000a';
select results_eq(
  $$select customer_name from public.quotations$$, $$values ('d')$$,
  'what was the organisation''s outlives the account of whoever made it'
);

set local role service_role;
select lives_ok(
  $$insert into public.organization_members (organization_id, user_id, role) values ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000b', 'owner')$$,
  'and the project names whom it belongs to then'
);

insert into public.organization_members (organization_id, user_id, role) values
  ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000c', 'admin'),
  ('00000000-0000-4000-9000-000000000001', '00000000-0000-4000-8000-00000000000e', 'member');
update public.organization_members set role = 'admin', created_at = now() - interval '1 day'
where user_id = '00000000-0000-4000-8000-00000000000d';
reset role;
select lives_ok($$delete from auth.users where id = '00000000-0000-4000-8000-00000000000e'$$, 'a member whose account ends is followed by nobody');
delete from auth.users where id = '00000000-0000-4000-8000-00000000000b';
select results_eq(
  $$select user_id from public.organization_members where role = 'owner'$$, $$values ('00000000-0000-4000-8000-00000000000d'::uuid)$$,
  'the owner is followed by the admin who has been there longest'
);

select * from finish();
rollback;
