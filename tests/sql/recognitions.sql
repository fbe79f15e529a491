-- Recognitions: who may see, send and change what, and what no row may say.
begin;
select plan(53);

select results_eq(
  $$
    select
      p.proname::text collate "default",
      has_function_privilege('anon', p.oid, 'execute'),
      has_function_privilege('authenticated', p.oid, 'execute'),
      has_function_privilege('service_role', p.oid, 'execute'),
      p.prosecdef
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ 'recognition'
    order by p.proname collate "C"
  $$,
  $$
    values
      ('my_recognition_address', false, true, false, false),
      ('recognitions_resolve_address', false, false, false, true),
      ('send_recognition', false, true, false, false),
      ('share_recognition', false, true, false, false)
  $$,
  'users call what is for users, and nobody the look-up of addresses'
);

select is_empty(
  $$
    select p.proname from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname ~ 'recognition'
      and not p.proconfig @> array['search_path=""']
  $$,
  'no function leaves its search path open'
);

select is_empty(
  $$select relname from pg_class where relname ~ '^recognition' and relkind = 'r' and not relrowsecurity$$,
  'row level security is on for each table'
);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b'),
  ('00000000-0000-4000-8000-00000000000c');
insert into public.recognition_addresses (user_id, address) values
  ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-9000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-9000-00000000000b');

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
$$;

create function pg_temp.send(p_request text, p_address text, p_message text default 'm', p_category text default 'craft', p_points integer default 1)
returns uuid language sql as $$
  select (public.send_recognition(p_request, p_address::uuid, p_message, p_category, p_points)).id;
$$;

create function pg_temp.refused(p_call text, p_constraint text) returns text language plpgsql as $$
begin
  execute 'select pg_temp.' || p_call;
  return fail(p_constraint || ' let ' || left(p_call, 60) || ' through');
exception when check_violation then
  return ok(sqlerrm like '%"' || p_constraint || '"%', p_constraint);
end;
$$;

set local role authenticated;
select throws_ok($$select pg_temp.send('r', '00000000-0000-4000-9000-00000000000b')$$, '42501', null, 'nobody signed in sends nothing');
select throws_ok($$select public.my_recognition_address()$$, '42501', null, 'and has no address');

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
select isnt(pg_temp.send('r1', '00000000-0000-4000-9000-00000000000b'), null, 'a user sends a recognition');
select is(
  pg_temp.send('r1', '00000000-0000-4000-9000-00000000000b'),
  (select id from public.recognitions where request_id = 'r1'),
  'another attempt at the same request finds it'
);
select is((select count(*) from public.recognitions), 1::bigint, 'and makes no second one');
select is((select recipient_id from public.recognitions), '00000000-0000-4000-8000-00000000000b'::uuid, 'it is to whoever has the address');
select throws_ok($$select pg_temp.send('r2', '00000000-0000-4000-9000-00000000000c')$$, 'PT404', null, 'an address that nobody has is refused');
select throws_ok($$select pg_temp.send('r2', '00000000-0000-4000-8000-00000000000b')$$, 'PT404', null, 'a user id is no address');
select pg_temp.refused($$send('r2', '00000000-0000-4000-9000-00000000000a')$$, 'recognitions_sender_is_not_the_recipient');
select pg_temp.refused($$send('', '00000000-0000-4000-9000-00000000000b')$$, 'recognitions_request_id_has_1_to_256_characters');
select pg_temp.refused($$send('r2', '00000000-0000-4000-9000-00000000000b', repeat('m', 1001))$$, 'recognitions_message_has_1_to_1000_characters');
select pg_temp.refused($$send('r2', '00000000-0000-4000-9000-00000000000b', E' \n')$$, 'recognitions_message_is_not_blank');
select pg_temp.refused($$send('r2', '00000000-0000-4000-9000-00000000000b', 'm', 'kindness')$$, 'recognitions_category_is_known');
select pg_temp.refused($$send('r2', '00000000-0000-4000-9000-00000000000b', 'm', 'craft', 101)$$, 'recognitions_points_are_1_to_100');
select pg_temp.refused($$send('r2', '00000000-0000-4000-9000-00000000000b', 'm', 'craft', 0)$$, 'recognitions_points_are_1_to_100');
select is((select count(*) from public.recognition_addresses), 1::bigint, 'a user sees their own address only');
select is(public.my_recognition_address(), '00000000-0000-4000-9000-00000000000a', 'and is told it');
select throws_ok($$insert into public.recognition_addresses (address) values (gen_random_uuid())$$, '42501', null, 'nobody chooses an address');
select throws_ok($$update public.recognitions set points = 100$$, '42501', null, 'what was sent stays as it is');
select throws_ok($$delete from public.recognitions$$, '42501', null, 'and stays');
select throws_ok(
  $$insert into public.recognitions (request_id, recipient_address, sender_id, message, category, points) values ('r3', '00000000-0000-4000-9000-00000000000b', '00000000-0000-4000-8000-00000000000c', 'm', 'craft', 1)$$,
  '42501', null, 'nobody sends for somebody else'
);

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null
select is((select count(*) from public.recognitions), 1::bigint, 'the recipient sees it');
select isnt(pg_temp.send('r1', '00000000-0000-4000-9000-00000000000a'), null, 'and uses the same request id for another');
select lives_ok($$delete from public.recognition_addresses$$, 'a user voids their address');
select isnt(public.my_recognition_address(), '00000000-0000-4000-9000-00000000000b', 'and gets a new one');

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
select is(
  pg_temp.send('r1', '00000000-0000-4000-9000-00000000000b'),
  (select id from public.recognitions where sender_id = auth.uid() and request_id = 'r1'),
  'what was sent to the old address is still found by another attempt'
);

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000c') \g /dev/null
select is((select count(*) from public.recognitions), 0::bigint, 'others see none');
select throws_ok($$select pg_temp.send('r1', '00000000-0000-4000-9000-00000000000b')$$, 'PT404', null, 'and a voided address is void');

-- by user id, and with tags
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
create function pg_temp.send_to(p_request text, p_user text, p_tags text[] default '{}', p_address text default null)
returns uuid language sql as $$
  select (public.send_recognition(p_request, p_address::uuid, 'm', null, 1, p_user::uuid, p_tags)).id;
$$;
select isnt(pg_temp.send_to('i1', '00000000-0000-4000-8000-00000000000b', '{calm,kind}'), null, 'a user id finds who takes recognitions');
select results_eq(
  $$select recipient_address, category, tags from public.recognitions where request_id = 'i1' and sender_id = auth.uid()$$,
  $$values (null::uuid, null::text, '{calm,kind}'::text[])$$,
  'tells no address, and keeps the tags'
);
select throws_ok($$select pg_temp.send_to('i2', '00000000-0000-4000-8000-00000000000c')$$, 'PT404', null, 'who has no address takes none');
select throws_ok(
  $$select pg_temp.send_to('i2', '00000000-0000-4000-8000-00000000000b', '{}', '00000000-0000-4000-9000-00000000000a')$$,
  '42501', null, 'an address and an id have to agree'
);
select throws_ok(
  $$select pg_temp.send_to('i2', '00000000-0000-4000-8000-00000000000b', '{}', '00000000-0000-4000-9000-0000000000ff')$$,
  'PT404', null, 'and an id makes no void address good'
);
select throws_ok($$select pg_temp.send_to('i2', null)$$, 'PT404', null, 'somebody has to be named');
select pg_temp.refused($$send_to('i2', '00000000-0000-4000-8000-00000000000b', '{1,2,3,4,5,6,7,8,9,10,11}')$$, 'recognitions_has_at_most_10_tags');
select pg_temp.refused($$send_to('i2', '00000000-0000-4000-8000-00000000000b', array[repeat('t', 401)])$$, 'recognitions_tags_have_at_most_400_characters');
select pg_temp.refused($$send_to('i2', '00000000-0000-4000-8000-00000000000b', array[null])$$, 'recognitions_tags_are_texts');

-- shares: of what one received, with whoever takes recognitions
create function pg_temp.share(p_request text, p_of text, p_user text, p_weight numeric default 0.5)
returns numeric language sql as $$
  select (public.share_recognition(
    p_request, (select id from public.recognitions where request_id = p_of and sender_id = '00000000-0000-4000-8000-00000000000a'),
    null, p_user::uuid, p_weight
  )).evidence_weight;
$$;
select throws_ok($$select pg_temp.share('s1', 'i1', '00000000-0000-4000-8000-00000000000b')$$, '23503', null, 'the sender does not share it');
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000c') \g /dev/null
select isnt(public.my_recognition_address(), null, 'somebody takes part');
select throws_ok($$select pg_temp.share('s1', 'i1', '00000000-0000-4000-8000-00000000000b')$$, '23502', null, 'nor does somebody else, who does not see it');
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null
select is(pg_temp.share('s1', 'i1', '00000000-0000-4000-8000-00000000000c'), 0.5, 'the recipient shares it');
select is(pg_temp.share('s1', 'i1', '00000000-0000-4000-8000-00000000000c', 1), 0.5, 'another attempt at the same request finds the share');
select throws_ok($$select pg_temp.share('s2', 'i1', '00000000-0000-4000-8000-00000000000c')$$, '23505', null, 'a second share with the same user is refused');
select pg_temp.refused($$share('s2', 'i1', '00000000-0000-4000-8000-00000000000b')$$, 'recognition_shares_is_not_with_oneself');
select pg_temp.refused($$share('s2', 'i1', '00000000-0000-4000-8000-00000000000a', 1.1)$$, 'recognition_shares_evidence_weight_is_0_to_1');
select throws_ok($$update public.recognition_shares set evidence_weight = 1$$, '42501', null, 'what was shared stays as it is');
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000c') \g /dev/null
select is((select count(*) from public.recognitions), 1::bigint, 'whoever it was shared with sees it, and no other');
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null
delete from public.recognition_shares;
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000c') \g /dev/null
select is((select count(*) from public.recognitions), 0::bigint, 'and no longer when the share was taken back');

set local role anon;
select throws_ok($$select * from public.recognition_shares$$, '42501', null, 'anon sees no share');
select throws_ok($$select * from public.recognitions$$, '42501', null, 'anon sees nothing');

select * from finish();
rollback;
